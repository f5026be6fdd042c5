"""Bodies and the headers that speak of them: reliability.md, section 4, rows 11, 13 to 20."""

import base64
import gzip
import json
from typing import Any

import pytest

from tests.builders import DOCKER_LIST, DOCKER_MANIFEST, LAYER, OCI_INDEX, OCI_MANIFEST, descriptor, digest_of, image
from tests.conftest import StartRegistry
from tests.push import Client, assert_error, push_blob, push_image, put_manifest, start_upload
from tests.raw import ask, chunked, connected, request_head

_MANIFEST = "/v2/app/manifests/latest"
_IMAGE = image()
_FIELDS: dict[str, Any] = json.loads(_IMAGE.content)


async def _put(client: Client, content: bytes, content_type: str | None = OCI_MANIFEST) -> Any:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return await ask(client, "PUT", _MANIFEST, headers, content)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, identity", "x-unknown", "identity", ""])
async def test_a_blob_is_stored_as_it_was_sent_whatever_its_coding(client: Client, coding: str) -> None:
    content = gzip.compress(b"body" * 100)
    digest = digest_of(content)
    said = {"Content-Encoding": coding}
    location = await start_upload(client, "app")
    assert (await ask(client, "PATCH", location, said, content)).headers["Range"] == f"0-{len(content) - 1}"
    assert (await ask(client, "PUT", f"{location}?digest={digest}", said)).status == 201
    location = await start_upload(client, "app")
    head = {**said, "Transfer-Encoding": "chunked"}
    assert (await ask(client, "PUT", f"{location}?digest={digest}", head, chunked(content))).status == 201
    assert (await ask(client, "POST", f"/v2/app/blobs/uploads/?digest={digest}", said, content)).status == 201
    answer = await ask(client, "GET", f"/v2/app/blobs/{digest}", {"Accept-Encoding": "gzip"})
    assert (answer.body, "Content-Encoding" in answer.headers) == (content, False)


async def test_a_manifest_is_read_as_it_was_sent_whatever_its_coding(client: Client) -> None:
    await push_image(client, "app", _IMAGE)
    head = {"Content-Type": OCI_MANIFEST, "Content-Encoding": "gzip"}
    assert (await ask(client, "PUT", _MANIFEST, head, _IMAGE.content)).status == 201
    compressed = await ask(client, "PUT", _MANIFEST, head, gzip.compress(_IMAGE.content))
    compressed.assert_error(400, "MANIFEST_INVALID")


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
async def test_the_content_type_of_a_blob_is_ignored(client: Client, content_type: str) -> None:
    location = await start_upload(client, "app")
    content = b"a=1&digest=sha256:0"
    answer = await ask(
        client, "PUT", f"{location}?digest={digest_of(content)}", {"Content-Type": content_type}, content
    )
    assert answer.status == 201


async def test_an_announced_blob_above_the_limit_is_answered_413_before_its_body(start_registry: StartRegistry) -> None:
    client = await start_registry(pyregistry={"limits": {"blob-size": 1_000}})
    location = await start_upload(client, "app")
    digest = digest_of(b"x")
    for method, path in [
        ("PATCH", location),
        ("PUT", f"{location}?digest={digest}"),
        ("POST", f"/v2/app/blobs/uploads/?digest={digest}"),
    ]:
        answer = await ask(client, method, path, {"Content-Length": "1001", "Expect": "100-continue"})
        answer.assert_error(413, "SIZE_INVALID")
        assert answer.headers["Connection"] == "close"


async def test_a_blob_that_grows_above_the_limit_is_answered_413(start_registry: StartRegistry) -> None:
    client = await start_registry(pyregistry={"limits": {"blob-size": 1_000}})
    location = await start_upload(client, "app")
    assert (await ask(client, "PATCH", location, body=b"x" * 600)).status == 202
    for headers, body in [
        ({"Content-Length": "600"}, b"x" * 600),
        ({"Transfer-Encoding": "chunked"}, chunked(b"x" * 300, b"x" * 300)),
    ]:
        (await ask(client, "PATCH", location, headers, body)).assert_error(413, "SIZE_INVALID")
    content = b"x" * 1_000
    answer = await ask(client, "PUT", f"{location}?digest={digest_of(content)}", body=b"x" * 400)
    assert answer.status == 201


@pytest.mark.parametrize("expectation", ["200-ok", "100-continued", "x=y"])
async def test_another_expectation_is_answered_417(client: Client, expectation: str) -> None:
    location = await start_upload(client, "app")
    for method, path in [("PATCH", location), ("PUT", _MANIFEST)]:
        answer = await ask(client, method, path, {"Expect": expectation}, b"body")
        answer.assert_error(417, "UNSUPPORTED")


async def test_among_several_expectations_100_continue_is_answered_and_an_empty_one_is_none(client: Client) -> None:
    path = f"/v2/app/blobs/uploads/?digest={digest_of(b'body')}"
    async with connected(client) as connection:
        await connection.send(request_head("POST", path, {"Expect": "other, 100-Continue", "Content-Length": "4"}))
        assert (await connection.answer()).status == 100
        await connection.send(b"body")
        assert (await connection.answer()).status == 201
        await connection.send(request_head("POST", path, {"Expect": "", "Content-Length": "4"}) + b"body")
        assert (await connection.answer()).status == 201


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
async def test_a_manifest_above_the_limit_is_answered_413(start_registry: StartRegistry, announced: bool) -> None:
    client = await start_registry(pyregistry={"limits": {"manifest-size": 1_000}})
    content = b" " * 1_001
    headers = {} if announced else {"Transfer-Encoding": "chunked"}
    answer = await ask(client, "PUT", _MANIFEST, headers, content if announced else chunked(content))
    answer.assert_error(413, "SIZE_INVALID")


async def test_a_manifest_of_exactly_4_mib_is_taken_and_one_byte_more_is_not(client: Client) -> None:
    empty = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    whole = empty + b" " * (4 * 1024 * 1024 - len(empty))
    assert (await _put(client, whole, OCI_INDEX)).status == 201
    (await _put(client, whole + b" ", OCI_INDEX)).assert_error(413, "SIZE_INVALID")
    assert (await ask(client, "GET", _MANIFEST)).body == whole


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("text/plain", 415),
        ("application/json", 415),
        ("application/octet-stream", 415),
        ("application", 415),
        (OCI_MANIFEST + "x", 415),
        ("a/" + "b" * 300, 415),
        (OCI_INDEX, 400),
        (DOCKER_MANIFEST, 400),
        (DOCKER_LIST, 400),
    ],
)
async def test_a_wrong_content_type_of_a_manifest_is_refused(client: Client, content_type: str, status: int) -> None:
    await push_image(client, "app", _IMAGE)
    (await _put(client, _IMAGE.content, content_type)).assert_error(status, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    "content_type",
    [
        *(OCI_MANIFEST + "; charset=utf-8", OCI_MANIFEST + " ;x=y", OCI_MANIFEST.upper()),
        *(OCI_MANIFEST.title() + ";x=y", "", None),
    ],
)
async def test_parameters_and_letters_of_a_manifests_content_type_do_not_matter(
    client: Client, content_type: str | None
) -> None:
    await push_image(client, "app", _IMAGE)
    assert (await _put(client, _IMAGE.content, content_type)).status == 201


_NOT_A_MANIFEST = {
    "no bytes": b"",
    "not JSON": b"\x00\x01\x02",
    "a list": b"[]",
    "a string": b'"text"',
    "a number": b"1",
    "null": b"null",
    "half of it": _IMAGE.content[:-10],
    "two documents": _IMAGE.content + _IMAGE.content,
    "UTF-16": _IMAGE.content.decode().encode("utf-16"),
    "UTF-32": _IMAGE.content.decode().encode("utf-32"),
    "a byte order mark": b"\xef\xbb\xbf" + _IMAGE.content,
    "broken UTF-8": _IMAGE.content.replace(b"{}", b"{}").replace(b"mediaType", b"media\xffType", 1),
    "NaN": b'{"schemaVersion": 2, "manifests": [], "x": NaN}',
    "Infinity": b'{"schemaVersion": 2, "manifests": [], "x": -Infinity}',
    "a comment": b'{"schemaVersion": 2, "manifests": [] /* none */}',
    "a key twice": b'{"schemaVersion": 2, "schemaVersion": 2, "manifests": []}',
    "a key twice below": b'{"schemaVersion": 2, "manifests": [], "x": {"a": 1, "a": 2}}',
    "a key twice in other letters": b'{"schemaVersion": 2, "manifests": [], "Manifests": []}',
    "layers in other letters next to manifests": b'{"schemaVersion": 2, "manifests": [], "Layers": []}',
    "33 levels": b'{"schemaVersion": 2, "manifests": [], "x": ' + b"[" * 33 + b"]" * 33 + b"}",
    "100,000 levels": b'{"schemaVersion": 2, "manifests": [], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of 5,000 digits": b'{"schemaVersion": 2, "manifests": [], "x": ' + b"9" * 5_000 + b"}",
    "no schemaVersion": b'{"manifests": []}',
    "schemaVersion 3": b'{"schemaVersion": 3, "manifests": []}',
    "schemaVersion as text": b'{"schemaVersion": "2", "manifests": []}',
    "manifests and layers": b'{"schemaVersion": 2, "manifests": [], "layers": []}',
    "no config": json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []}).encode(),
    "layers that are no list": json.dumps({**_FIELDS, "layers": {}}).encode(),
    "a config that is null": json.dumps({**_FIELDS, "config": None, "layers": None}).encode(),
    "an artifactType that is a number": json.dumps({**_FIELDS, "artifactType": 1}).encode(),
    "an index by its header alone": b'{"schemaVersion": 2, "config": null}',
    "an unknown mediaType": json.dumps({**_FIELDS, "mediaType": "application/x-mine"}).encode(),
}


@pytest.mark.parametrize("content", [pytest.param(content, id=fact) for fact, content in _NOT_A_MANIFEST.items()])
async def test_what_is_no_manifest_is_answered_400(client: Client, content: bytes) -> None:
    (await _put(client, content, None)).assert_error(400, "MANIFEST_INVALID")
    (await ask(client, "GET", _MANIFEST)).assert_error(404, "MANIFEST_UNKNOWN")


_LAYER: dict[str, Any] = descriptor(b"layer one", LAYER)
_BAD_DESCRIPTORS: dict[str, object] = {
    "no object": "sha256:" + "a" * 64,
    "no digest": {key: value for key, value in _LAYER.items() if key != "digest"},
    "a malformed digest": {**_LAYER, "digest": "sha256:xyz"},
    "a digest that leads elsewhere": {**_LAYER, "digest": "sha256:../../../../etc/passwd"},
    "an unknown algorithm": {**_LAYER, "digest": "md5:" + "a" * 32},
    "a negative size": {**_LAYER, "size": -1},
    "a size above 63 bits": {**_LAYER, "size": 2**63},
    "a size with a fraction": {**_LAYER, "size": 9.5},
    "a size as text": {**_LAYER, "size": "9"},
    "a size that is true": {**_LAYER, "size": True},
    "a media type that is a number": {**_LAYER, "mediaType": 1},
    "a digest twice in other letters": {**_LAYER, "Digest": _LAYER["digest"]},
    "urls that are no list": {**_LAYER, "urls": "https://layers.test/x"},
    "data that is not base64": {**_LAYER, "data": "!"},
    "data with another digest": {**_LAYER, "data": base64.b64encode(b"layer 0ne").decode()},
}


@pytest.mark.parametrize("bad", [pytest.param(bad, id=fact) for fact, bad in _BAD_DESCRIPTORS.items()])
@pytest.mark.parametrize("field", ["layers", "config"])
async def test_a_bad_descriptor_is_answered_400(client: Client, field: str, bad: object) -> None:
    content = json.dumps({**_FIELDS, field: [bad] if field == "layers" else bad}).encode()
    (await _put(client, content)).assert_error(400, "MANIFEST_INVALID")


_BAD_SUBJECTS = sorted(fact for fact in _BAD_DESCRIPTORS if "digest" in fact or "algorithm" in fact or "object" in fact)


@pytest.mark.parametrize("fact", sorted(set(_BAD_SUBJECTS) - {"no digest", "data with another digest"}))
async def test_a_subject_that_names_nothing_is_answered_400(client: Client, fact: str) -> None:
    content = json.dumps({**_FIELDS, "subject": _BAD_DESCRIPTORS[fact]}).encode()
    (await _put(client, content)).assert_error(400, "MANIFEST_INVALID")


async def test_every_missing_blob_is_named_in_a_404(client: Client) -> None:
    config = await push_blob(client, "app", b"{}")
    response = await put_manifest(client, "app", _IMAGE)
    await assert_error(response, 404, "MANIFEST_BLOB_UNKNOWN")
    named = {entry["detail"]["digest"] for entry in (await response.json())["errors"]}
    assert named == {digest_of(blob) for blob in _IMAGE.blobs} - {config}


async def test_a_blob_of_another_repository_is_missing(client: Client) -> None:
    await push_image(client, "other", _IMAGE)
    await assert_error(await put_manifest(client, "app", _IMAGE), 404, "MANIFEST_BLOB_UNKNOWN")
