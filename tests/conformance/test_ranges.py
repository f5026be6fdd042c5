"""The program's group `range requests` (end-2, RFC 9110 section 14), and conditional requests (section 13)."""

import pytest

from tests.builders import Image, digest_of, image, index
from tests.push import Client, assert_error, push_blob, push_image

_NAME = "conformance/repo1"
_BLOB = bytes(range(256)) * 8
_IMAGE = image()

algorithms = pytest.mark.parametrize("algorithm", ["sha256", "sha512"])


@algorithms
@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("500-1499", 500, 1499), ("500-", 500, 2047), ("-500", 1548, 2047), ("2000-5000", 2000, 2047), ("0-0", 0, 0)],
)
async def test_end_2_a_range_answers_206_with_exactly_its_bytes(
    client: Client, asked: str, first: int, last: int, algorithm: str
) -> None:
    digest = await push_blob(client, _NAME, _BLOB, algorithm)
    response = await client.get(f"/v2/{_NAME}/blobs/{digest}", headers={"Range": f"bytes={asked}"})
    assert response.status == 206
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/2048"
    assert response.headers["Content-Length"] == str(last - first + 1)
    assert response.headers["Docker-Content-Digest"] == digest
    assert await response.read() == _BLOB[first : last + 1]


@algorithms
@pytest.mark.parametrize("asked", ["500-0", "5000-10000", "2048-", "-0"])
async def test_end_2_a_range_outside_of_the_blob_answers_416_with_its_size(
    client: Client, asked: str, algorithm: str
) -> None:
    digest = await push_blob(client, _NAME, _BLOB, algorithm)
    response = await client.get(f"/v2/{_NAME}/blobs/{digest}", headers={"Range": f"bytes={asked}"})
    await assert_error(response, 416, "SIZE_INVALID")
    assert response.headers["Content-Range"] == "bytes */2048"


async def test_end_2_a_blob_says_that_ranges_are_understood(client: Client) -> None:
    digest = await push_blob(client, _NAME, _BLOB)
    assert (await client.head(f"/v2/{_NAME}/blobs/{digest}")).headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("validator", ['"{}"', 'W/"{}"', '"other", "{}"', "*"])
async def test_end_2_and_3_if_none_match_answers_304_with_etag_and_digest_and_no_body(
    client: Client, validator: str, method: str
) -> None:
    for path, digest in await _things(client):
        headers = {"If-None-Match": validator.format(digest)}
        response = await client.request(method, path, headers=headers)
        assert response.status == 304
        assert response.headers["ETag"] == f'"{digest}"'
        assert response.headers["Docker-Content-Digest"] == digest
        assert await response.read() == b""


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("validator", ['"{}x"', '"sha256:"', '"other"', 'W/"other"'])
async def test_end_2_and_3_if_none_match_of_something_else_answers_200(
    client: Client, validator: str, method: str
) -> None:
    for path, digest in await _things(client):
        response = await client.request(method, path, headers={"If-None-Match": validator.format(digest)})
        assert response.status == 200
        assert response.headers["ETag"] == f'"{digest}"'
        assert (await response.read() != b"") == (method == "GET")


async def test_end_3_a_tag_that_moved_is_not_answered_304(client: Client) -> None:
    old, new = image(b"old"), image(b"new")
    await push_image(client, _NAME, old, "latest")
    await push_image(client, _NAME, new, "latest")
    response = await client.get(f"/v2/{_NAME}/manifests/latest", headers={"If-None-Match": f'"{old.digest}"'})
    assert response.status == 200
    assert await response.read() == new.content


@pytest.mark.parametrize("missing", [f"blobs/{digest_of(b'missing')}", "manifests/missing"])
async def test_end_2_and_3_if_none_match_does_not_make_what_is_missing_304(client: Client, missing: str) -> None:
    assert (await client.get(f"/v2/{_NAME}/{missing}", headers={"If-None-Match": "*"})).status == 404


async def _things(client: Client) -> list[tuple[str, str]]:
    """A blob, and manifests by digest and by tag: path and digest."""
    listed: Image = index(_IMAGE)
    await push_image(client, _NAME, listed, "latest")
    blob = digest_of(_IMAGE.blobs[1])
    return [
        (f"/v2/{_NAME}/blobs/{blob}", blob),
        (f"/v2/{_NAME}/manifests/{_IMAGE.digest}", _IMAGE.digest),
        (f"/v2/{_NAME}/manifests/{listed.digest}", listed.digest),
        (f"/v2/{_NAME}/manifests/latest", listed.digest),
    ]
