"""Blobs: download, existence, deletion."""

from aiohttp import web

from pyregistry.api.context import offload, repository
from pyregistry.api.download import send_blob
from pyregistry.api.responses import etag, not_modified
from pyregistry.oci.digest import Digest
from pyregistry.oci.media_types import OCTET_STREAM


async def get_blob(request: web.Request) -> web.StreamResponse:
    """end-2 `GET` and `HEAD /v2/<name>/blobs/<digest>`.

    One range is answered 206, several 206 multipart/byteranges, none satisfiable 416. The ETag is the digest.
    """
    digest = Digest(request.match_info["digest"])
    repo = repository(request)
    source = await offload(repo.promise_blob if request.method == "HEAD" else repo.blob, digest)
    headers = {
        "Docker-Content-Digest": digest,
        "ETag": etag(digest),
        "Content-Type": OCTET_STREAM,
        "Accept-Ranges": "bytes",
        "Cache-Control": "max-age=31536000, immutable",
    }
    return not_modified(request, digest, headers) or await send_blob(request, source, digest, headers)


async def delete_blob(request: web.Request) -> web.Response:
    """end-10 `DELETE /v2/<name>/blobs/<digest>`: forgets it in this repository only; gc frees the bytes."""
    await offload(repository(request).unlink_blob, Digest(request.match_info["digest"]))
    return web.Response(status=202)
