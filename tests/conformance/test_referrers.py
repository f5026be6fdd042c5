"""Referrers (end-12a, end-12b): what a descriptor says, filters, pages, and subjects in any order."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import IMAGE_CONFIG, OCI_INDEX, OCI_MANIFEST, Image, artifact, digest_of, image, index
from tests.conformance import leaves
from tests.conformance.paging import all_pages, joined, next_path
from tests.conftest import StartRegistry
from tests.push import Client, assert_error, push_blob, push_image

_NAME = "conformance/repo1"
_SUBJECT = index()
_SBOM, _SIGNATURE = "application/vnd.example.sbom.v1", "application/vnd.example.signature.v1"
_NOTES = {"org.example.sbom.format": "json", "note": "Grüße"}


def _referrer(number: int, **fields: Any) -> Image:
    """An index needs no blobs."""
    return index(subject=_SUBJECT.descriptor(), annotations={"number": str(number)}, **fields)


async def _push(client: Client, count: int, **fields: Any) -> list[str]:
    """Their digests in the order of the list."""
    referrers = [_referrer(number, **fields) for number in range(count)]
    for referrer in referrers:
        await leaves.push_manifest(client, _NAME, referrer)
    return sorted(referrer.digest for referrer in referrers)


@pytest.mark.parametrize(
    ("referrer", "more"),
    [
        pytest.param(
            artifact(_SUBJECT, _SBOM, annotations=_NOTES),
            {"artifactType": _SBOM, "annotations": _NOTES},
            id="an artifact",
        ),
        pytest.param(
            image(subject=_SUBJECT.descriptor()), {"artifactType": IMAGE_CONFIG}, id="an image: its config's type"
        ),
        pytest.param(
            image(subject=_SUBJECT.descriptor(), artifactType=""),
            {"artifactType": IMAGE_CONFIG},
            id="an image with an empty type",
        ),
        pytest.param(
            index(subject=_SUBJECT.descriptor(), artifactType=_SBOM), {"artifactType": _SBOM}, id="an index with a type"
        ),
        pytest.param(index(subject=_SUBJECT.descriptor(), annotations=_NOTES), {"annotations": _NOTES}, id="an index"),
        pytest.param(index(subject=_SUBJECT.descriptor(), artifactType=""), {}, id="an index with an empty type"),
    ],
)
async def test_end_12a_a_descriptor_says_what_the_spec_wants_and_nothing_else(
    client: Client, referrer: Image, more: dict[str, object]
) -> None:
    await push_image(client, _NAME, referrer)
    (descriptor,) = await leaves.list_referrers(client, _NAME, _SUBJECT.digest)
    assert descriptor == {**referrer.descriptor(), **more}


@pytest.mark.parametrize("subject_first", [True, False])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_end_7a_subject_and_referrer_may_come_in_either_order(
    client: Client, algorithm: str, subject_first: bool
) -> None:
    subject = index(algorithm=algorithm)
    referrer = index(subject=subject.descriptor())
    for pushed in (subject, referrer) if subject_first else (referrer, subject):
        await leaves.push_manifest(client, _NAME, pushed)
    assert await leaves.list_referrers(client, _NAME, subject.digest) == [referrer.descriptor()]


async def test_end_12a_a_referrer_is_listed_once_however_often_it_was_pushed(client: Client) -> None:
    referrer = _referrer(0)
    for reference in (None, "one", "two", None):
        await leaves.push_manifest(client, _NAME, referrer, reference)
    assert len(await leaves.list_referrers(client, _NAME, _SUBJECT.digest)) == 1


async def test_end_12a_a_referrer_is_listed_in_its_own_repository_alone(client: Client) -> None:
    await _push(client, 1)
    assert await leaves.list_referrers(client, "conformance/repo2", _SUBJECT.digest) == []


async def test_end_12a_a_deleted_referrer_is_not_listed_and_one_of_a_deleted_subject_is(client: Client) -> None:
    await leaves.push_manifest(client, _NAME, _SUBJECT)
    first, second = await _push(client, 2)
    await leaves.delete_manifest(client, _NAME, first)
    await leaves.delete_manifest(client, _NAME, _SUBJECT.digest)
    listed = await leaves.list_referrers(client, _NAME, _SUBJECT.digest)
    assert [descriptor["digest"] for descriptor in listed] == [second]


async def test_end_12a_a_referrer_whose_tag_is_deleted_is_still_listed(client: Client) -> None:
    referrer = _referrer(0)
    await leaves.push_manifest(client, _NAME, referrer, "signature")
    await leaves.delete_manifest(client, _NAME, "signature")
    assert len(await leaves.list_referrers(client, _NAME, _SUBJECT.digest)) == 1


async def test_end_12b_a_filter_keeps_its_type_and_says_so_even_if_nothing_is_left(client: Client) -> None:
    sboms = await _push(client, 2, artifactType=_SBOM)
    (signature,) = await _push(client, 1, artifactType=_SIGNATURE)
    await _push(client, 1)
    for artifact_type, expected in [(_SBOM, sboms), (_SIGNATURE, [signature]), ("application/other", [])]:
        listed = await leaves.list_referrers(client, _NAME, _SUBJECT.digest, artifact_type)
        assert [descriptor["digest"] for descriptor in listed] == expected
    assert len(await leaves.list_referrers(client, _NAME, _SUBJECT.digest)) == 4


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(0, 7), others=st.integers(0, 3))
async def test_end_12a_and_12b_the_pages_of_every_n_are_the_whole_list(
    start_registry: StartRegistry, count: int, others: int
) -> None:
    client = await start_registry(storage={"inmemory": None})
    found = await _push(client, count, artifactType=_SBOM)
    everything = sorted([*found, *await _push(client, others)])
    for query, expected in [("", everything), (f"&artifactType={_SBOM}", found)]:
        for n in range(1, len(expected) + 2):
            pages = await all_pages(client, f"/v2/{_NAME}/referrers/{_SUBJECT.digest}?n={n}{query}", "manifests")
            assert [descriptor["digest"] for descriptor in joined(pages)] == expected
            assert all(len(page) == n for page in pages[:-1])


async def test_end_12b_every_page_of_a_filtered_list_says_that_it_is_filtered(client: Client) -> None:
    await _push(client, 3, artifactType=_SBOM)
    path: str | None = f"/v2/{_NAME}/referrers/{_SUBJECT.digest}?n=1&artifactType={_SBOM}"
    for _ in range(3):
        assert path is not None
        response = await client.get(path)
        assert response.headers["OCI-Filters-Applied"] == "artifactType"
        assert response.headers["Content-Type"] == OCI_INDEX
        path = next_path(response)
    assert path is None


async def test_end_12a_n_zero_gives_an_empty_index_and_no_link(client: Client) -> None:
    await _push(client, 2)
    response = await client.get(f"/v2/{_NAME}/referrers/{_SUBJECT.digest}?n=0")
    assert (await response.json(content_type=OCI_INDEX))["manifests"] == []
    assert "Link" not in response.headers


@pytest.mark.parametrize(("limit", "several"), [(600, True), (1_000, True), (100_000, False)])
async def test_end_12a_a_list_that_no_manifest_could_hold_comes_in_pages(
    start_registry: StartRegistry, limit: int, several: bool
) -> None:
    client = await start_registry(pyregistry={"limits": {"manifest-size": limit}})
    expected = await _push(client, 6, artifactType=_SBOM)
    path: str | None = f"/v2/{_NAME}/referrers/{_SUBJECT.digest}"
    found, pages = [], 0
    while path is not None:
        response = await client.get(path)
        assert int(response.headers["Content-Length"]) <= limit
        found += [item["digest"] for item in (await response.json(content_type=OCI_INDEX))["manifests"]]
        pages += 1
        path = next_path(response)
    assert found == expected
    assert (pages > 1) == several


@pytest.mark.parametrize(
    "subject", ["latest", "sha256:", "sha256:" + "A" * 64, "md5:" + "0" * 32, "sha256:" + "0" * 65]
)
async def test_end_12a_what_is_no_digest_answers_400(client: Client, subject: str) -> None:
    await assert_error(await client.get(f"/v2/{_NAME}/referrers/{subject}"), 400, "DIGEST_INVALID")


async def test_end_12a_a_manifest_without_subject_refers_to_nothing(client: Client) -> None:
    layer = await push_blob(client, _NAME, b"layer one")
    plain = image()
    await push_image(client, _NAME, plain, "latest")
    for digest in (layer, plain.digest, digest_of(b"{}")):
        assert await leaves.list_referrers(client, _NAME, digest) == []
    assert plain.media_type == OCI_MANIFEST
