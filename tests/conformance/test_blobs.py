"""The program's groups `sha256 blobs` and `sha512 blobs`: every way in, every way out, each algorithm."""

import pytest

from tests.builders import digest_of
from tests.conformance import leaves
from tests.conformance.pushes import OCTETS, PUSHES, THREE_CHUNKS, post_put
from tests.push import Client, assert_error, start_upload, target_of

_NAME, _OTHER = "conformance/repo1", "conformance/repo2"
_BLOB = bytes(range(256)) * 2
_LARGE = (b"three chunks" * THREE_CHUNKS)[:THREE_CHUNKS]
_ANOTHER = {"sha256": "sha512", "sha512": "sha256"}

algorithms = pytest.mark.parametrize("algorithm", ["sha256", "sha512"])


@algorithms
async def test_end_2_a_blob_that_was_never_pushed_is_missing(client: Client, algorithm: str) -> None:
    path = f"/v2/{_NAME}/blobs/{digest_of(_BLOB, algorithm)}"
    await assert_error(await client.get(path), 404, "BLOB_UNKNOWN")
    assert (await client.head(path)).status == 404
    await assert_error(await client.delete(path), 404, "BLOB_UNKNOWN")


@algorithms
@pytest.mark.parametrize(
    ("way", "content"),
    [
        *(pytest.param(way, b"", id=f"{way}-empty") for way in ("post only", "post and put", "chunked")),
        *(pytest.param(way, b"{}", id=f"{way}-emptyJSON") for way in PUSHES),
        *(pytest.param(way, _BLOB, id=f"{way}-one chunk") for way in PUSHES),
        *(pytest.param(way, _LARGE, id=f"{way}-three chunks") for way in PUSHES),
    ],
)
async def test_end_4_to_6_a_blob_goes_in_by_every_way_and_out_until_deleted(
    client: Client, way: str, content: bytes, algorithm: str
) -> None:
    digest = digest_of(content, algorithm)
    response = await PUSHES[way](client, _NAME, content, digest)
    await leaves.assert_blob_pushed(client, response, content, digest)
    await leaves.head_blob(client, _NAME, content, digest)
    await leaves.get_blob(client, _NAME, content, digest)
    await leaves.delete_blob(client, _NAME, digest)


@algorithms
@pytest.mark.parametrize("way", PUSHES)
async def test_end_4_to_6_a_blob_with_another_digest_is_refused_by_every_way(
    client: Client, way: str, algorithm: str
) -> None:
    digest = digest_of(_LARGE, algorithm)
    response = await PUSHES[way](client, _NAME, _LARGE + b"oh no", digest)
    await assert_error(response, 400, "DIGEST_INVALID")
    assert "Location" not in response.headers
    for wrong in (digest, digest_of(_LARGE + b"oh no", algorithm)):
        assert (await client.head(f"/v2/{_NAME}/blobs/{wrong}")).status == 404


@algorithms
async def test_end_4_to_6_what_was_deleted_can_be_pushed_again_and_again(client: Client, algorithm: str) -> None:
    digest = digest_of(_BLOB, algorithm)
    for way, push in PUSHES.items():
        response = await push(client, _NAME, _BLOB, digest)
        assert response.status == 201, way
        await leaves.get_blob(client, _NAME, _BLOB, digest)
        await leaves.delete_blob(client, _NAME, digest)


@algorithms
@pytest.mark.parametrize("announced", ["sha256", "sha512"])
async def test_end_4c_digest_algorithm_is_taken_and_the_closing_digest_decides(
    client: Client, announced: str, algorithm: str
) -> None:
    response = await client.post(f"/v2/{_NAME}/blobs/uploads/", params={"digest-algorithm": announced})
    assert response.status == 202
    assert response.headers["Range"] == "0-0"
    digest = digest_of(_BLOB, algorithm)
    response = await client.patch(target_of(response.headers["Location"]), data=_BLOB, headers=OCTETS)
    response = await client.put(target_of(response.headers["Location"]), params={"digest": digest})
    await leaves.assert_blob_pushed(client, response, _BLOB, digest)


@algorithms
async def test_end_2_a_blob_is_known_by_the_digest_of_its_push_alone(client: Client, algorithm: str) -> None:
    await post_put(client, _NAME, _BLOB, digest_of(_BLOB, algorithm))
    other = digest_of(_BLOB, _ANOTHER[algorithm])
    await assert_error(await client.get(f"/v2/{_NAME}/blobs/{other}"), 404, "BLOB_UNKNOWN")


@algorithms
async def test_end_11_a_blob_is_mounted_from_the_repository_that_is_named(client: Client, algorithm: str) -> None:
    digest = digest_of(_BLOB, algorithm)
    await post_put(client, _OTHER, _BLOB, digest)
    response = await client.post(f"/v2/{_NAME}/blobs/uploads/", params={"mount": digest, "from": _OTHER})
    await _assert_mounted(client, target_of(response.headers["Location"]), response.status, digest)


@algorithms
async def test_end_11_a_blob_is_mounted_without_naming_a_repository(client: Client, algorithm: str) -> None:
    digest = digest_of(_BLOB, algorithm)
    await post_put(client, _OTHER, _BLOB, digest)
    response = await client.post(f"/v2/{_NAME}/blobs/uploads/", params={"mount": digest})
    await _assert_mounted(client, target_of(response.headers["Location"]), response.status, digest)


@algorithms
@pytest.mark.parametrize("source", [{"from": _OTHER}, {"from": _NAME}, {"from": "nobody/knows"}, {}], ids=str)
async def test_end_11_a_missing_blob_is_not_mounted_but_an_upload_begins(
    client: Client, source: dict[str, str], algorithm: str
) -> None:
    digest = digest_of(_BLOB, algorithm)
    response = await client.post(f"/v2/{_NAME}/blobs/uploads/", params={"mount": digest, **source})
    assert response.status == 202
    assert "Docker-Content-Digest" not in response.headers
    response = await client.put(
        target_of(response.headers["Location"]), params={"digest": digest}, data=_BLOB, headers=OCTETS
    )
    await leaves.assert_blob_pushed(client, response, _BLOB, digest)
    await leaves.delete_blob(client, _NAME, digest)


@algorithms
async def test_end_14_a_cancelled_upload_is_gone_with_all_its_bytes(client: Client, algorithm: str) -> None:
    digest = digest_of(_BLOB, algorithm)
    location = await start_upload(client, _NAME)
    assert (await client.patch(location, data=_BLOB, headers=OCTETS)).status == 202
    response = await client.delete(location)
    assert response.status == 204
    assert await response.read() == b""
    for method in ("GET", "PATCH", "DELETE"):
        await assert_error(await client.request(method, location), 404, "BLOB_UPLOAD_UNKNOWN")
    await assert_error(await client.put(location, params={"digest": digest}), 404, "BLOB_UPLOAD_UNKNOWN")
    assert (await client.head(f"/v2/{_NAME}/blobs/{digest}")).status == 404


async def _assert_mounted(client: Client, location: str, status: int, digest: str) -> None:
    assert status == 201
    assert await (await client.get(location)).read() == _BLOB
    await leaves.head_blob(client, _NAME, _BLOB, digest)
    await leaves.get_blob(client, _NAME, _BLOB, digest)
    await leaves.delete_blob(client, _NAME, digest)
    await leaves.get_blob(client, _OTHER, _BLOB, digest)
    await leaves.delete_blob(client, _OTHER, digest)
