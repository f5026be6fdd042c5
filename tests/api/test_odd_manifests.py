"""Documents that clients in use write, and that are taken: byte for byte, and with the meaning that Go gives them."""

import asyncio
import json
from typing import Any

import pytest

from tests.builders import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    IMAGE_CONFIG,
    LAYER,
    OCI_INDEX,
    OCI_MANIFEST,
    Image,
    descriptor,
    digest_of,
    image,
    index,
)
from tests.conftest import StartRegistry
from tests.push import Client, assert_error, push_blob, push_image
from tests.raw import RawAnswer, ask

IMAGE = image()
FIELDS: dict[str, Any] = json.loads(IMAGE.content)
INDEX = index(IMAGE)
INDEX_FIELDS: dict[str, Any] = json.loads(INDEX.content)
PARAMETERS = "application/vnd.dev.sigstore.bundle.v0.3+json;version=0.2"


def _layer(**fields: Any) -> dict[str, Any]:
    return {**FIELDS, "layers": [descriptor(b"layer one", LAYER) | fields]}


def _without(fields: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key not in keys}


def _child(**fields: Any) -> dict[str, Any]:
    return {**INDEX_FIELDS, "manifests": [INDEX_FIELDS["manifests"][0] | fields]}


TAKEN: dict[str, object] = {
    "a layer's mediaType with parameters": _layer(mediaType="text/plain; charset=utf-8"),
    "a layer's mediaType without a slash": _layer(mediaType="tar"),
    "a layer's mediaType with a line end": _layer(mediaType="tar\r\nX-Evil: yes"),
    "a layer's mediaType that is null": _layer(mediaType=None),
    "a config's mediaType with parameters": {**FIELDS, "config": descriptor(b"{}", PARAMETERS)},
    "an artifactType with parameters": {**FIELDS, "artifactType": PARAMETERS},
    "an artifactType without a slash": {**FIELDS, "artifactType": "sbom"},
    "layers that are null": {**FIELDS, "layers": None},
    "no layers": _without(FIELDS, "layers"),
    "layers that are null, in Docker's format": {**FIELDS, "mediaType": DOCKER_MANIFEST, "layers": None},
    "manifests that are null": {**INDEX_FIELDS, "manifests": None},
    "no manifests": _without(INDEX_FIELDS, "manifests"),
    "manifests that are null, in Docker's format": {**INDEX_FIELDS, "mediaType": DOCKER_LIST, "manifests": None},
    "manifests that are null, and no mediaType": {"schemaVersion": 2, "manifests": None},
    "a layer of size 0": _layer(size=0),
    "a layer without size": {**FIELDS, "layers": [_without(_layer()["layers"][0], "size")]},
    "a layer whose size is null": _layer(size=None),
    "a layer of another size": _layer(size=10),
    "a config of another size": {**FIELDS, "config": descriptor(b"{}", IMAGE_CONFIG) | {"size": 0}},
    "a child of another size": _child(size=1),
    "a child of another size, in Docker's format": _child(size=1) | {"mediaType": DOCKER_LIST},
    "a subject of another size": {**FIELDS, "subject": IMAGE.descriptor() | {"size": 1}},
    "urls of other schemes": _layer(urls=["ipfs://bafy", "file:///etc/passwd", "x"] * 20),
    "an annotation that is null": {**FIELDS, "annotations": {"a": None}},
    "a child's annotation that is null": _child(annotations={"a": None}),
    "layers in upper case": {**_without(FIELDS, "layers"), "Layers": FIELDS["layers"]},
    "a mediaType in lower case": {**_without(FIELDS, "mediaType"), "mediatype": OCI_MANIFEST},
    "manifests in upper case": {**_without(INDEX_FIELDS, "manifests"), "MANIFESTS": INDEX_FIELDS["manifests"]},
    "an empty subject": {**FIELDS, "subject": {"mediaType": "", "digest": "", "size": 0}},
    "a platform with odd fields": _child(platform={"os": "linux", "os.features": ["a"], "variant": None, "x": 1}),
}


def _type_of(document: Any) -> str:
    given = document.get("mediaType") or document.get("mediatype")
    return given or OCI_INDEX


async def _put(client: Client, document: object, reference: str = "odd") -> RawAnswer:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    headers = {} if isinstance(document, bytes) else {"Content-Type": _type_of(document)}
    return await ask(client, "PUT", f"/v2/app/manifests/{reference}", headers, content)


@pytest.mark.parametrize("document", TAKEN.values(), ids=TAKEN.keys())
async def test_a_manifest_is_taken_and_served_byte_for_byte_with(client: Client, document: object) -> None:
    await push_image(client, "app", INDEX)
    content = json.dumps(document).encode()
    answer = await _put(client, document)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest_of(content))
    pulled = await ask(client, "GET", "/v2/app/manifests/odd")
    assert (pulled.status, pulled.body, pulled.headers["Content-Type"]) == (200, content, _type_of(document))


async def test_layers_in_upper_case_must_be_here(client: Client) -> None:
    await push_blob(client, "app", b"{}")
    answer = await _put(client, {**_without(FIELDS, "layers"), "Layers": FIELDS["layers"]})
    answer.assert_error(404, "MANIFEST_BLOB_UNKNOWN")
    missing = {entry["detail"]["digest"] for entry in answer.json()["errors"]}
    assert missing == {layer["digest"] for layer in FIELDS["layers"]}


async def test_a_subject_in_upper_case_is_answered_and_listed(client: Client) -> None:
    await push_image(client, "app", IMAGE)
    answer = await _put(client, {**FIELDS, "Subject": IMAGE.descriptor(), "Annotations": {"a": None}})
    assert (answer.status, answer.headers["OCI-Subject"]) == (201, IMAGE.digest)
    listed = (await ask(client, "GET", f"/v2/app/referrers/{IMAGE.digest}")).json()["manifests"]
    assert [entry["annotations"] for entry in listed] == [{"a": ""}]


@pytest.mark.parametrize("fields", [{"size": -1}, {"size": "1"}, {"data": "!"}, {"platform": "x", "urls": 1}])
async def test_of_a_subject_only_the_digest_is_looked_at(client: Client, fields: dict[str, Any]) -> None:
    await push_image(client, "app", IMAGE)
    answer = await _put(client, {**FIELDS, "subject": IMAGE.descriptor() | fields})
    assert (answer.status, answer.headers["OCI-Subject"]) == (201, IMAGE.digest)
    assert len((await ask(client, "GET", f"/v2/app/referrers/{IMAGE.digest}")).json()["manifests"]) == 1


@pytest.mark.parametrize("query", ["?tag=other", "?tag=a&tag=.b", "?tag="])
async def test_a_push_by_tag_has_that_tag_alone(client: Client, query: str) -> None:
    await push_image(client, "app", IMAGE)
    answer = await ask(client, "PUT", f"/v2/app/manifests/latest{query}", {"Content-Type": OCI_MANIFEST}, IMAGE.content)
    assert answer.status == 201
    assert "OCI-Tag" not in answer.headers
    assert (await ask(client, "GET", "/v2/app/tags/list")).json()["tags"] == ["latest"]


async def test_a_tag_that_is_empty_is_none(client: Client) -> None:
    await push_image(client, "app", IMAGE)
    path = f"/v2/app/manifests/{IMAGE.digest}?tag=&tag=v1"
    answer = await ask(client, "PUT", path, {"Content-Type": OCI_MANIFEST}, IMAGE.content)
    assert (answer.status, answer.headers["OCI-Tag"]) == (201, "v1")


@pytest.mark.parametrize("content_type", [OCI_MANIFEST.upper(), OCI_MANIFEST.title() + "; Charset=UTF-8"])
async def test_the_letters_of_a_content_type_do_not_matter(client: Client, content_type: str) -> None:
    await push_image(client, "app", IMAGE)
    answer = await ask(client, "PUT", "/v2/app/manifests/v1", {"Content-Type": content_type}, IMAGE.content)
    assert answer.status == 201
    assert (await ask(client, "GET", "/v2/app/manifests/v1")).headers["Content-Type"] == OCI_MANIFEST


async def test_an_empty_subject_is_not_answered(client: Client) -> None:
    await push_image(client, "app", IMAGE)
    answer = await _put(client, {**FIELDS, "subject": {"digest": "", "size": 0}})
    assert answer.status == 201
    assert "OCI-Subject" not in answer.headers


@pytest.mark.parametrize("artifact_type", ["text/plain; charset=utf-8", "sbom", PARAMETERS, "a\r\nb&c=d"])
async def test_referrers_are_found_by_any_artifact_type(client: Client, artifact_type: str) -> None:
    await push_image(client, "app", IMAGE)
    for number, text in enumerate([artifact_type, "application/other"]):
        answer = await _put(client, {**FIELDS, "subject": IMAGE.descriptor(), "artifactType": text}, f"v{number}")
        assert answer.status == 201
    found = await client.get(f"/v2/app/referrers/{IMAGE.digest}", params={"artifactType": artifact_type})
    assert [entry["artifactType"] for entry in (await found.json())["manifests"]] == [artifact_type]


async def test_a_long_artifact_type_does_not_fill_the_lists_of_referrers(client: Client) -> None:
    await push_image(client, "app", IMAGE)
    for number in range(3):
        longest = {"subject": IMAGE.descriptor(), "artifactType": f"{number}" * 3_000_000}
        assert (await _put(client, {**FIELDS, **longest}, f"v{number}")).status == 201
    answer = await ask(client, "GET", f"/v2/app/referrers/{IMAGE.digest}")
    assert answer.status == 200
    assert len(answer.body) < 2_000
    assert [entry.get("artifactType") for entry in answer.json()["manifests"]] == [None] * 3


@pytest.mark.parametrize("kind", ["layers", "manifests"])
async def test_a_manifest_may_refer_to_as_much_as_its_size_allows(client: Client, kind: str) -> None:
    await push_image(client, "app", IMAGE)
    fields = FIELDS if kind == "layers" else INDEX_FIELDS
    document = {**fields, kind: [{"digest": fields[kind][0]["digest"]}] * 45_000}
    assert 3_500_000 < len(json.dumps(document)) < 4 * 1024 * 1024
    assert (await _put(client, document)).status == 201
    assert len((await ask(client, "GET", "/v2/app/manifests/odd")).json()[kind]) == 45_000


@pytest.mark.parametrize("kind", ["layers", "manifests"])
async def test_of_many_missing_blobs_some_are_named(client: Client, kind: str) -> None:
    await push_image(client, "app", IMAGE)
    fields = FIELDS if kind == "layers" else INDEX_FIELDS
    missing = [digest_of(b"%d" % number) for number in range(20_000)]
    answer = await _put(client, {**fields, kind: [{"digest": digest} for digest in missing + missing]})
    answer.assert_error(404, "MANIFEST_BLOB_UNKNOWN")
    named = [entry["detail"]["digest"] for entry in answer.json()["errors"]]
    assert named == missing[:1_000]


async def test_others_are_answered_while_a_manifest_of_many_layers_is_taken(start_registry: StartRegistry) -> None:
    client = await start_registry(validation={"manifests": {"indexes": {"platforms": "none"}}})
    await push_image(client, "app", IMAGE)
    document = {**INDEX_FIELDS, "manifests": [{"digest": digest_of(b"%d" % number)} for number in range(20_000)]}
    push = asyncio.create_task(_put(client, document))
    answered = 0
    while not push.done():
        assert (await ask(client, "GET", "/v2/")).status == 200
        answered += 1
    assert (await push).status == 201
    assert answered > 1


async def test_urls_of_other_schemes_are_judged_where_rules_say_so(start_registry: StartRegistry) -> None:
    client = await start_registry(validation={"manifests": {"urls": {"allow": ["^ipfs:"]}}})
    await push_image(client, "app", INDEX)
    assert (await _put(client, _layer(urls=["ipfs://bafy"]))).status == 201
    (await _put(client, _layer(urls=["https://a"]))).assert_error(400, "MANIFEST_INVALID")
    assert (await _put(client, _child(urls=["https://a"]))).status == 201
    assert (await _put(client, {**FIELDS, "config": descriptor(b"{}", IMAGE_CONFIG, urls=["x:y"])})).status == 201
    (await _put(client, {**_without(FIELDS, "layers"), "LAYERS": _layer(Urls=["ftp://a"])["layers"]})).assert_error(
        400, "MANIFEST_INVALID"
    )


async def test_what_copies_an_odd_image_finds_the_same(client: Client) -> None:
    odd = json.dumps(_layer(mediaType="text/plain; charset=utf-8", size=0)).encode()
    await push_image(client, "app", IMAGE)
    await push_image(client, "app", Image(odd, OCI_MANIFEST), "odd")
    for blob in IMAGE.blobs:
        response = await client.post("/v2/copy/blobs/uploads/", params={"mount": digest_of(blob), "from": "app"})
        assert response.status == 201
    pulled = await (await client.get("/v2/app/manifests/odd")).read()
    await push_image(client, "copy", Image(pulled, OCI_MANIFEST), "odd")
    response = await client.get("/v2/copy/blobs/" + digest_of(b"layer one"))
    assert (response.headers["Content-Length"], await response.read()) == ("9", b"layer one")


async def test_a_manifest_named_by_a_wrong_size_is_still_checked_for_its_digest(client: Client) -> None:
    await push_image(client, "app", IMAGE)
    response = await client.put(
        f"/v2/app/manifests/{IMAGE.digest}",
        data=json.dumps(_layer(size=0)).encode(),
        headers={"Content-Type": OCI_MANIFEST},
    )
    await assert_error(response, 400, "DIGEST_INVALID")
