"""The ways in which the official program pushes a blob; each returns the answer to its last request."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

from aiohttp import ClientResponse

from tests.push import Client, start_upload, target_of

Push = Callable[[Client, str, bytes, str], Awaitable[ClientResponse]]

CHUNK = 1024
"""Bytes of a chunk; the program's smallest."""
THREE_CHUNKS = 3 * CHUNK - 5
OCTETS = {"Content-Type": "application/octet-stream"}


async def without_length(content: bytes) -> AsyncIterator[bytes]:
    """A body that aiohttp sends with chunked transfer coding and no Content-Length."""
    if content:
        yield content


def chunks(content: bytes) -> Iterator[tuple[bytes, dict[str, str]]]:
    """Pieces of CHUNK bytes, each with its headers."""
    for begin in range(0, len(content), CHUNK):
        piece = content[begin : begin + CHUNK]
        yield piece, {**OCTETS, "Content-Range": f"{begin}-{begin + len(piece) - 1}"}


async def post_only(client: Client, name: str, content: bytes, digest: str) -> ClientResponse:
    """end-4b."""
    path = f"/v2/{name}/blobs/uploads/"
    return await client.post(path, params={"digest": digest}, data=content, headers=OCTETS)


async def post_put(client: Client, name: str, content: bytes, digest: str) -> ClientResponse:
    """end-4a and end-6; as in the program, no bytes are sent as a chunked body of no bytes."""
    location = await start_upload(client, name)
    body = content or without_length(content)
    return await client.put(location, params={"digest": digest}, data=body, headers=OCTETS)


async def stream(client: Client, name: str, content: bytes, digest: str) -> ClientResponse:
    """end-4a, one end-5 without Content-Range and without a length, and end-6."""
    location = await start_upload(client, name)
    response = await client.patch(location, data=without_length(content), headers=OCTETS)
    assert response.status == 202, await response.text()
    assert response.headers["Range"] == f"0-{len(content) - 1}"
    return await client.put(target_of(response.headers["Location"]), params={"digest": digest}, headers=OCTETS)


async def chunked(client: Client, name: str, content: bytes, digest: str) -> ClientResponse:
    """end-4a, an end-5 for each chunk, and end-6 without a body."""
    location = await start_upload(client, name)
    for piece, headers in chunks(content):
        location = await send_chunk(client, location, piece, headers)
    return await client.put(location, params={"digest": digest}, headers=OCTETS)


async def chunked_with_put(client: Client, name: str, content: bytes, digest: str) -> ClientResponse:
    """end-4a, an end-5 for each chunk but the last, and end-6 with the last one."""
    location = await start_upload(client, name)
    *pieces, (last, last_headers) = chunks(content)
    for piece, headers in pieces:
        location = await send_chunk(client, location, piece, headers)
    return await client.put(location, params={"digest": digest}, data=last, headers=last_headers)


async def send_chunk(client: Client, location: str, piece: bytes, headers: Mapping[str, str]) -> str:
    """end-5: where the next request goes."""
    response = await client.patch(location, data=piece, headers=headers)
    assert response.status == 202, await response.text()
    assert response.headers["Range"] == "0-" + headers["Content-Range"].partition("-")[2]
    return target_of(response.headers["Location"])


PUSHES: Mapping[str, Push] = {
    "post only": post_only,
    "post and put": post_put,
    "stream": stream,
    "chunked": chunked,
    "chunked and put chunk": chunked_with_put,
}
