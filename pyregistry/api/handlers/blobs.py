"""Blobs: download, existence, deletion."""

from aiohttp import web

from pyregistry.api.handlers.download import opened, send_blob
from pyregistry.api.http.cached import Cached, Caches
from pyregistry.api.http.context import BLOB_CACHE, offload, offload_read, principal, repository
from pyregistry.api.http.decision import Content, Headers, caller_of, observe_pull, record
from pyregistry.api.http.responses import etag, not_modified
from pyregistry.auth.access import Principal
from pyregistry.observe.observers import Event, EventAction, EventTarget
from pyregistry.oci.digest import Digest
from pyregistry.oci.media_types import OCTET_STREAM


async def get_blob(request: web.Request) -> web.StreamResponse:
    """end-2 `GET` and `HEAD /v2/<name>/blobs/<digest>`.

    One range gets a 206, several a 206 multipart/byteranges, unsatisfiable ones a 416. The ETag is the digest.
    """
    if request.method == "HEAD":
        return await _head_blob(request)
    digest = Digest(request.match_info["digest"])
    headers = blob_headers(digest, principal(request))
    async with opened(repository(request), digest) as blob:
        response = not_modified(request, digest, headers) or await send_blob(request, blob, digest, headers)
    observe_pull(request, digest, _content(digest, blob.size), response.status)
    return response


async def _head_blob(request: web.Request) -> web.StreamResponse:
    name, digest, cache = request.match_info["name"], request.match_info["digest"], request.app[BLOB_CACHE]
    size = cache.get(name, digest)
    if size is None:
        source, known = await offload_read(cache.load, repository(request), Digest(digest))
        cache.store(name, digest, known)
        size = source.size
    headers = blob_headers(digest, principal(request))
    response = not_modified(request, digest, headers)
    if response is None:
        response = web.StreamResponse(headers=headers)
        response.content_length = size
    observe_pull(request, digest, _content(digest, size), response.status)
    return response


def cached_blob_head(
    caches: Caches, name: str, reference: str, _headers: Headers, principal: Principal
) -> Cached | None:
    """Return the HEAD of `get_blob` from the cache, as a FindCached."""
    size = caches.blobs.get(name, reference)
    return None if size is None else Cached(blob_headers(reference, principal), size, b"")


def _content(digest: str, size: int) -> Content:
    return Content(EventTarget.BLOB, digest, OCTET_STREAM, size)


def blob_headers(digest: str, caller: Principal) -> dict[str, str]:
    """Return the headers of a blob.

    A response to a user may be cached by that user's client alone: caches such as nginx's ignore `Authorization`.
    """
    whose = "private, " if caller.name is not None else ""
    return {
        "Docker-Content-Digest": digest,
        "ETag": etag(digest),
        "Content-Type": OCTET_STREAM,
        "Accept-Ranges": "bytes",
        "Cache-Control": f"{whose}max-age=31536000, immutable",
    }


async def delete_blob(request: web.Request) -> web.Response:
    """end-10 `DELETE /v2/<name>/blobs/<digest>`: unlinks it from this repository only; gc frees the bytes."""
    repo, digest = repository(request), Digest(request.match_info["digest"])
    size = await offload(repo.unlink_blob, digest)
    await record(request, Event(EventAction.DELETE, EventTarget.BLOB, repo.name, digest, caller_of(request), size=size))
    return web.Response(status=202)
