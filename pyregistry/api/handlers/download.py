"""Blob responses: our own headers, then the kernel copies from the file to the socket.

aiohttp's FileResponse is not used: its ETag and Last-Modified come from the file's time, which changes without the
content.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from secrets import token_hex
from typing import BinaryIO

import structlog
from aiohttp import web

from pyregistry.api.http.context import MANIFEST_CACHE, offload_read
from pyregistry.api.http.ranges import parse_range
from pyregistry.api.http.responses import etag
from pyregistry.api.http.sent import count_sent
from pyregistry.common.system_errors import in_words
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobUnknown, ManifestUnknown, RangeNotSatisfiable
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams.sources import Bytes, OpenSource, PathNotFound, Source
from pyregistry.threads.upload_budget import uploads

_SMALL_BYTES = 64 * 1024
"""Bytes of a blob that is read in the thread that opens it, such as a config: three hops become one."""

log = structlog.get_logger("pyregistry.api")


@dataclass(frozen=True, slots=True)
class OpenBlob:
    """An open blob; `size` in bytes."""

    size: int
    reading: OpenSource
    location: str | None
    """A URL from which a client may GET the bytes; None: they are sent from here."""


@asynccontextmanager
async def opened(repository: Repository, digest: Digest) -> AsyncIterator[OpenBlob]:
    """Open a blob until the block ends; raise BlobUnknown."""
    with _unknown(BlobUnknown, digest):
        blob = await offload_read(lambda: _open(repository.blob(digest)))
    try:
        yield blob
    finally:
        await _close(blob)


@contextmanager
def _unknown(error: type[BlobUnknown | ManifestUnknown], digest: Digest) -> Iterator[None]:
    try:
        yield
    except PathNotFound as gone:  # garbage collection was faster
        raise error({"digest": digest}) from gone


def _open(source: Source) -> OpenBlob:
    reading = source.open()
    if reading.file is None or source.size > _SMALL_BYTES:
        return OpenBlob(source.size, reading, source.redirect())
    with reading.file as file:
        content = file.read()
    return OpenBlob(len(content), Bytes(content), None)


async def _close(blob: OpenBlob) -> None:
    if blob.reading.content is None:
        await offload_read(blob.reading.close)


async def send_blob(
    request: web.Request, blob: OpenBlob, digest: Digest, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Respond with the blob or the requested parts of it; raise RangeNotSatisfiable.

    Where the storage offers a URL, respond 307: the client requests its `Range` there.
    """
    if blob.location is not None:
        kept = {"Docker-Content-Digest": headers["Docker-Content-Digest"], "Cache-Control": "no-store"}
        return web.Response(status=307, headers={**kept, "Location": blob.location})
    parts = _requested(request, blob.size, digest)
    if parts is None:
        return await _send(request, blob, [(b"", range(blob.size))], 200, headers)
    if len(parts) == 1:
        content_range = _content_range(parts[0], blob.size)
        return await _send(request, blob, [(b"", parts[0])], 206, {**headers, "Content-Range": content_range})
    boundary = token_hex(16)
    pieces = [(_part_head(boundary, headers["Content-Type"], part, blob.size), part) for part in parts]
    pieces[0] = (pieces[0][0].lstrip(), parts[0])
    pieces.append((f"\r\n--{boundary}--\r\n".encode(), range(0)))
    content_type = f"multipart/byteranges; boundary={boundary}"
    return await _send(request, blob, pieces, 206, {**headers, "Content-Type": content_type})


async def send_manifest(
    request: web.Request, digest: Digest, size: int, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Respond with a checked manifest of `size` bytes; raise ManifestUnknown.

    It is sent from its file, as a blob: a client that stops reading keeps no copy of it in memory.
    """
    cache = request.app[MANIFEST_CACHE]
    with _unknown(ManifestUnknown, digest):
        manifest = await offload_read(lambda: _open(cache.source(digest)))
    try:
        if manifest.size != size:  # it was damaged since it was checked
            raise ManifestUnknown({"digest": digest})
        return await _send(request, manifest, [(b"", range(size))], 200, headers)
    finally:
        await _close(manifest)


def _requested(request: web.Request, size: int, digest: Digest) -> list[range] | None:
    header = request.headers.get("Range")
    if header is None or (request.headers.get("If-Range") or etag(digest)) != etag(digest):
        return None
    parts = parse_range(header, size)
    if parts == []:
        raise RangeNotSatisfiable(f"the blob has {size} bytes", headers={"Content-Range": f"bytes */{size}"})
    return parts


def _content_range(part: range, size: int) -> str:
    return f"bytes {part.start}-{part.stop - 1}/{size}"


def _part_head(boundary: str, content_type: str, part: range, size: int) -> bytes:
    return (
        f"\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {_content_range(part, size)}\r\n\r\n"
    ).encode()


async def _send(
    request: web.Request,
    blob: OpenBlob,
    pieces: Sequence[tuple[bytes, range]],
    status: int,
    headers: Mapping[str, str],
) -> web.StreamResponse:
    """Respond with `pieces`: bytes to send as they are, each followed by a part of the blob."""
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = sum(len(head) + len(part) for head, part in pieces)
    await response.prepare(request)
    try:
        with nullcontext() if blob.reading.content is not None else uploads.response():
            for head, part in pieces:
                await _write(request, response, head)
                await _send_part(request, response, blob.reading, part)
    except OSError as error:
        # Too late for an error response: abort the connection, so that the client sees that the blob is incomplete.
        if not isinstance(error, ConnectionError):
            log.error("a blob could not be read", digest=headers["Docker-Content-Digest"], reason=in_words(error))
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the download broke off") from error
    await response.write_eof()
    return response


async def _send_part(request: web.Request, response: web.StreamResponse, blob: OpenSource, part: range) -> None:
    if not part:
        return
    if blob.content is not None:
        await _write(request, response, memoryview(blob.content)[part.start : part.stop])
        return
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    if blob.file is not None and transport.get_extra_info("sslcontext") is None:
        await _send_from_kernel(request, transport, blob.file, part)
        return
    async with aclosing(blob.stream(part.start, part.stop)) as blocks:
        async for block in blocks:
            await _write(request, response, block)


async def _write(request: web.Request, response: web.StreamResponse, piece: bytes | memoryview) -> None:
    await response.write(piece)
    count_sent(request, len(piece))


async def _send_from_kernel(request: web.Request, transport: asyncio.Transport, source: BinaryIO, part: range) -> None:
    handle = source.fileno()
    os.lseek(handle, part.start, os.SEEK_SET)
    try:
        sent = await asyncio.get_running_loop().sendfile(transport, source, part.start, len(part))
    finally:  # asyncio leaves the file where it stopped, whatever stopped it
        count_sent(request, os.lseek(handle, 0, os.SEEK_CUR) - part.start)
    if sent != len(part):
        raise OSError("the file is shorter than it was")
