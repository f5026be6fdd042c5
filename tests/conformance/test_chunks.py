"""Chunks out of their order (end-5, end-6), and what the upload says afterwards (end-13)."""

import pytest
from aiohttp import ClientResponse

from tests.builders import digest_of
from tests.conformance import leaves
from tests.conformance.pushes import CHUNK, OCTETS, THREE_CHUNKS, send_chunk
from tests.push import Client, assert_error, path_of, start_upload, target_of

_NAME = "conformance/repo1"
_BLOB = (b"three chunks" * THREE_CHUNKS)[:THREE_CHUNKS]

algorithms = pytest.mark.parametrize("algorithm", ["sha256", "sha512"])


@algorithms
@pytest.mark.parametrize("put_last", [False, True], ids=["PATCH last", "PUT last"])
async def test_end_5_and_6_a_chunk_out_of_order_answers_416_and_the_right_one_is_still_taken(
    client: Client, put_last: bool, algorithm: str
) -> None:
    """As the program does it: before each right chunk one that skips ahead, or goes back to the beginning."""
    digest = digest_of(_BLOB, algorithm)
    location = await start_upload(client, _NAME)
    for begin in range(0, len(_BLOB), CHUNK):
        wrong = begin + CHUNK if begin + CHUNK < len(_BLOB) else 0
        skips_to_the_end = wrong + CHUNK >= len(_BLOB)
        response = await _send(client, location, wrong, digest if put_last and skips_to_the_end else None)
        await assert_error(response, 416, "BLOB_UPLOAD_INVALID")
        assert response.headers["Range"] == f"0-{max(begin - 1, 0)}"
        location = await _assert_stands_at(client, target_of(response.headers["Location"]), begin)
        if put_last and begin + CHUNK >= len(_BLOB):
            break
        response = await _send(client, location, begin)
        assert response.status == 202
        location = target_of(response.headers["Location"])
    if put_last:
        response = await _send(client, location, 2 * CHUNK, digest)
    else:
        response = await client.put(location, params={"digest": digest}, headers=OCTETS)
    await leaves.assert_blob_pushed(client, response, _BLOB, digest)
    await leaves.delete_blob(client, _NAME, digest)


@pytest.mark.parametrize("begin", [CHUNK, CHUNK + 1, THREE_CHUNKS], ids=["the second", "one byte late", "far off"])
async def test_end_5_the_first_chunk_begins_with_0(client: Client, begin: int) -> None:
    location = await start_upload(client, _NAME)
    headers = {**OCTETS, "Content-Range": f"{begin}-{begin + CHUNK - 1}"}
    response = await client.patch(location, data=_BLOB[:CHUNK], headers=headers)
    await assert_error(response, 416, "BLOB_UPLOAD_INVALID")
    await _assert_stands_at(client, location, 0)


@pytest.mark.parametrize("begin", [0, 1, CHUNK - 1, CHUNK + 1, 2 * CHUNK])
async def test_end_5_a_chunk_begins_one_byte_behind_the_last_and_nowhere_else(client: Client, begin: int) -> None:
    location = await send_chunk(client, await start_upload(client, _NAME), _BLOB[:CHUNK], _range(0))
    await assert_error(await _send(client, location, begin), 416, "BLOB_UPLOAD_INVALID")
    await _assert_stands_at(client, location, CHUNK)
    assert (await _send(client, location, CHUNK)).status == 202
    await _assert_stands_at(client, location, 2 * CHUNK)


async def test_end_6_a_closing_chunk_out_of_order_leaves_the_upload_open(client: Client) -> None:
    digest = digest_of(_BLOB)
    location = await send_chunk(client, await start_upload(client, _NAME), _BLOB[:CHUNK], _range(0))
    response = await _send(client, location, 2 * CHUNK, digest)
    await assert_error(response, 416, "BLOB_UPLOAD_INVALID")
    assert (await client.head(f"/v2/{_NAME}/blobs/{digest}")).status == 404
    response = await client.patch(target_of(response.headers["Location"]), data=_BLOB[CHUNK:], headers=OCTETS)
    response = await client.put(target_of(response.headers["Location"]), params={"digest": digest})
    await leaves.assert_blob_pushed(client, response, _BLOB, digest)


async def test_end_13_a_new_upload_answers_204_with_location_and_range(client: Client) -> None:
    location = await start_upload(client, _NAME)
    response = await client.get(location)
    assert response.status == 204
    assert path_of(response.headers["Location"]) == location
    assert response.headers["Range"] == "0-0"
    assert await response.read() == b""


async def test_end_13_the_range_counts_every_byte_that_arrived(client: Client) -> None:
    location = await start_upload(client, _NAME)
    for size in range(1, 6):
        response = await client.patch(location, data=b"x", headers=OCTETS)
        assert response.headers["Range"] == f"0-{size - 1}"
        location = await _assert_stands_at(client, target_of(response.headers["Location"]), size)


async def test_end_4_no_smallest_chunk_is_asked_for_and_one_byte_is_enough(client: Client) -> None:
    response = await client.post(f"/v2/{_NAME}/blobs/uploads/")
    assert "OCI-Chunk-Min-Length" not in response.headers
    location = target_of(response.headers["Location"])
    for position in range(3):
        headers = {**OCTETS, "Content-Range": f"{position}-{position}"}
        location = await send_chunk(client, location, _BLOB[position : position + 1], headers)
    digest = digest_of(_BLOB[:3])
    response = await client.put(location, params={"digest": digest})
    await leaves.assert_blob_pushed(client, response, _BLOB[:3], digest)


async def _assert_stands_at(client: Client, location: str, offset: int) -> str:
    response = await client.get(location)
    assert response.status == 204
    assert response.headers["Range"] == f"0-{max(offset - 1, 0)}"
    return target_of(response.headers["Location"])


async def _send(client: Client, location: str, begin: int, closing: str | None = None) -> ClientResponse:
    piece, headers = _BLOB[begin : begin + CHUNK], _range(begin)
    if closing is None:
        return await client.patch(location, data=piece, headers=headers)
    return await client.put(location, params={"digest": closing}, data=piece, headers=headers)


def _range(begin: int) -> dict[str, str]:
    return {**OCTETS, "Content-Range": f"{begin}-{min(begin + CHUNK, len(_BLOB)) - 1}"}
