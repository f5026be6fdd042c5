"""Referrers, end-12a and 12b."""

import json
import re
from typing import Any

import pytest

from tests.builders import EMPTY_JSON, IMAGE_CONFIG, OCI_INDEX, OCI_MANIFEST, Image, artifact, digest_of, image, index
from tests.conftest import StartRegistry
from tests.push import Client, push_blob, push_image, put_manifest
from tests.raw import RawAnswer, ask

_SUBJECT = image()
_PATH = f"/v2/app/referrers/{_SUBJECT.digest}"
_SBOM, _SIGNATURE = "application/vnd.test.sbom", "application/vnd.test.signature"


async def _list(client: Client, query: str = "") -> list[dict[str, Any]]:
    answer = await ask(client, "GET", _PATH + query)
    assert (answer.status, answer.headers["Content-Type"]) == (200, OCI_INDEX)
    document = answer.json()
    assert {key: document[key] for key in ("schemaVersion", "mediaType")} == {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
    }
    manifests: list[dict[str, Any]] = document["manifests"]
    return manifests


def _digests(pushed: list[Image]) -> list[str]:
    return sorted(entry.digest for entry in pushed)


async def _push_artifacts(client: Client, count: int, artifact_type: str = _SBOM) -> list[Image]:
    pushed = [artifact(_SUBJECT, artifact_type, annotations={"number": str(number)}) for number in range(count)]
    for entry in pushed:
        await push_image(client, "app", entry)
    return pushed


@pytest.mark.parametrize("subject_first", [True, False])
async def test_a_referrer_is_described_by_what_its_manifest_says(client: Client, subject_first: bool) -> None:
    sbom = artifact(_SUBJECT, _SBOM, annotations={"org.test": "yes", "é": "ü"})
    for pushed in [_SUBJECT, sbom] if subject_first else [sbom, _SUBJECT]:
        await push_image(client, "app", pushed)
    assert await _list(client) == [
        {
            "mediaType": OCI_MANIFEST,
            "digest": sbom.digest,
            "size": len(sbom.content),
            "artifactType": _SBOM,
            "annotations": {"org.test": "yes", "é": "ü"},
        }
    ]


async def test_images_and_indexes_are_referrers_too(client: Client) -> None:
    of_config = image(b"x", subject=_SUBJECT.descriptor())
    of_index = index(subject=_SUBJECT.descriptor(), artifactType=_SIGNATURE)
    bare_index = index(subject=_SUBJECT.descriptor())
    for pushed in [of_config, of_index, bare_index]:
        await push_image(client, "app", pushed)
    listed = {entry["digest"]: entry.get("artifactType") for entry in await _list(client)}
    assert listed[of_config.digest] == IMAGE_CONFIG
    assert listed[of_index.digest] == _SIGNATURE
    assert not listed[bare_index.digest]


async def test_an_artifact_without_type_has_the_type_of_its_config(client: Client) -> None:
    pushed = artifact(_SUBJECT)
    fields = {key: value for key, value in json.loads(pushed.content).items() if key != "artifactType"}
    await push_image(client, "app", Image(json.dumps(fields).encode(), OCI_MANIFEST, pushed.blobs))
    assert [entry["artifactType"] for entry in await _list(client)] == [EMPTY_JSON]


async def test_a_filter_is_applied_and_says_so(client: Client) -> None:
    sboms, signatures = await _push_artifacts(client, 3), await _push_artifacts(client, 2, _SIGNATURE)
    for query, expected in [("", sboms + signatures), (_SBOM, sboms), (_SIGNATURE, signatures), ("a/none", [])]:
        answer = await ask(client, "GET", f"{_PATH}?artifactType={query}" if query else _PATH)
        assert [entry["digest"] for entry in answer.json()["manifests"]] == _digests(expected)
        assert answer.headers.get("OCI-Filters-Applied") == ("artifactType" if query else None)
    encoded = await ask(client, "GET", f"{_PATH}?artifactType={_SBOM.replace('/', '%2F')}")
    assert [entry["digest"] for entry in encoded.json()["manifests"]] == _digests(sboms)


@pytest.mark.parametrize("name", ["app", "unknown", "team/unknown"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_what_is_unknown_has_an_empty_list(client: Client, name: str, algorithm: str) -> None:
    await push_image(client, "app", _SUBJECT)
    answer = await ask(client, "GET", f"/v2/{name}/referrers/{digest_of(b'none', algorithm)}")
    assert (answer.status, answer.headers["Content-Type"], answer.json()["manifests"]) == (200, OCI_INDEX, [])


async def test_referrers_are_those_of_one_repository(client: Client) -> None:
    await _push_artifacts(client, 1)
    answer = await ask(client, "GET", f"/v2/other/referrers/{_SUBJECT.digest}")
    assert answer.json()["manifests"] == []


async def test_a_sha512_subject_has_referrers(client: Client) -> None:
    subject = image(algorithm="sha512")
    pushed = artifact(subject)
    await push_image(client, "app", pushed)
    answer = await ask(client, "GET", f"/v2/app/referrers/{subject.digest}")
    assert [entry["digest"] for entry in answer.json()["manifests"]] == [pushed.digest]


def _next(answer: RawAnswer) -> str | None:
    link = answer.headers.get("Link")
    if link is None:
        return None
    match = re.fullmatch(r'<([^<>"\s]+)>; rel="next"', link)
    assert match is not None, link
    return match[1]


async def _follow(client: Client, path: str | None) -> list[list[str]]:
    pages = []
    while path is not None:
        answer = await ask(client, "GET", path)
        assert answer.status == 200
        pages.append([entry["digest"] for entry in answer.json()["manifests"]])
        path = _next(answer)
        assert len(pages) < 50
    return pages


@pytest.mark.parametrize("n", [1, 2, 4, 5, 6, 1_000])
async def test_pages_together_are_the_list_and_keep_the_filter(client: Client, n: int) -> None:
    sboms = await _push_artifacts(client, 5)
    await _push_artifacts(client, 2, _SIGNATURE)
    pages = await _follow(client, f"{_PATH}?artifactType={_SBOM}&n={n}")
    assert [digest for page in pages for digest in page] == _digests(sboms)
    assert all(len(page) == n for page in pages[:-1])


async def test_n_0_gives_an_empty_list_and_no_link(client: Client) -> None:
    await _push_artifacts(client, 2)
    assert await _follow(client, f"{_PATH}?n=0") == [[]]


async def test_a_list_above_the_size_of_a_manifest_comes_in_pages(start_registry: StartRegistry) -> None:
    client = await start_registry(pyregistry={"limits": {"manifest-size": 2_000}})
    pushed = await _push_artifacts(client, 12)
    answer = await ask(client, "GET", _PATH)
    assert len(answer.body) <= 2_000
    assert _next(answer) is not None
    pages = await _follow(client, _PATH)
    assert [digest for page in pages for digest in page] == _digests(pushed)


async def _push_fallback(client: Client, *children: Image, tag: str | None = None) -> None:
    """Write a list under a tag made from the digest, as a client does that finds no referrers API."""
    listed = index(*children)
    tag = tag or _SUBJECT.digest.replace(":", "-")
    assert (await put_manifest(client, "app", listed, tag)).status == 201


async def test_what_clients_listed_under_the_fallback_tag_is_merged(client: Client) -> None:
    indexed = await _push_artifacts(client, 2)
    await _push_fallback(client, *indexed)
    assert [entry["digest"] for entry in await _list(client)] == _digests(indexed)


async def test_the_fallback_tag_alone_is_enough(client: Client, tmp_path: Any) -> None:
    pushed = await _push_artifacts(client, 2)
    await _push_fallback(client, *pushed)
    described = await _list(client)
    for entry in tmp_path.glob("data/docker/registry/v2/repositories/app/_referrers/**/descriptor"):
        entry.unlink()
    assert await _list(client) == described
    assert [entry["digest"] for entry in described] == _digests(pushed)


async def test_the_fallback_tag_adds_nothing_that_has_another_subject(client: Client) -> None:
    stranger = artifact(image(b"another subject"))
    for pushed in [_SUBJECT, stranger]:
        await push_image(client, "app", pushed)
    await _push_fallback(client, stranger, _SUBJECT)
    assert await _list(client) == []


async def test_a_fallback_tag_that_is_no_index_does_no_harm(client: Client) -> None:
    pushed = await _push_artifacts(client, 1)
    await push_image(client, "app", image(b"cosign's old way"), _SUBJECT.digest.replace(":", "-"))
    assert [entry["digest"] for entry in await _list(client)] == _digests(pushed)


async def test_the_fallback_tag_of_a_sha512_digest_is_cut_as_the_spec_says(client: Client, tmp_path: Any) -> None:
    subject = image(algorithm="sha512")
    pushed = artifact(subject)
    await push_image(client, "app", pushed)
    await _push_fallback(client, pushed, tag="sha512-" + subject.digest.removeprefix("sha512:")[:64])
    for entry in tmp_path.glob("data/docker/registry/v2/repositories/app/_referrers/**/descriptor"):
        entry.unlink()
    answer = await ask(client, "GET", f"/v2/app/referrers/{subject.digest}")
    assert [entry["digest"] for entry in answer.json()["manifests"]] == [pushed.digest]


async def test_a_referrer_pushed_twice_is_listed_once(client: Client) -> None:
    pushed = artifact(_SUBJECT)
    for reference in [None, "a", "b"]:
        await push_image(client, "app", pushed, reference)
    assert len(await _list(client)) == 1
    await push_blob(client, "app", b"unrelated")
