"""Uploads: how blobs come in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from pyregistry.api.bodies import announced_size, body, body_at_hand, check_blob_size
from pyregistry.api.context import may, offload, principal, registry, repository, single, view, walk
from pyregistry.api.ranges import check_length, parse_content_range
from pyregistry.api.responses import blob_created, upload_headers
from pyregistry.auth.access import Action
from pyregistry.oci.digest import CANONICAL, Digest, parse_algorithm
from pyregistry.oci.errors import BlobUnknown, BlobUploadUnknown, DigestInvalid, NameInvalid, UploadRangeInvalid
from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.storage.repository import Repository
from pyregistry.storage.turns import first
from pyregistry.storage.uploads import Upload


async def start_upload(request: web.Request) -> web.Response:
    """end-4a, 4b, 4c and 11 `POST /v2/<name>/blobs/uploads/`.

    With `mount` the blob is linked from `from`, or from any repository that the caller may read; if that is not
    possible, for whatever reason, an ordinary upload begins, so that nothing is disclosed. With `digest` the body is
    the whole blob.
    """
    target = repository(request)
    mount = single(request, "mount", DigestInvalid)
    digest = single(request, "digest", DigestInvalid)
    algorithm = parse_algorithm(single(request, "digest-algorithm", DigestInvalid) or CANONICAL)
    if mount is not None and await _mount(request, target, Digest(mount)):
        return blob_created(request, target.name, Digest(mount))
    if digest is not None:
        return await _push_at_once(request, target, Digest(digest))
    upload = await offload(target.start_upload, algorithm, principal(request).name)
    return web.Response(status=202, headers=upload_headers(request, upload, 0))


async def upload_status(request: web.Request) -> web.Response:
    """end-13 `GET` and `HEAD <blob-push-location>`: how many bytes there are."""
    upload = _named(request)
    await _require_own(request, upload)
    offset = await offload(upload.offset)
    return web.Response(status=204, headers=upload_headers(request, upload, offset))


async def append_to_upload(request: web.Request) -> web.Response:
    """end-5 `PATCH <blob-push-location>`: a chunk, or without `Content-Range` whatever comes next.

    While another request writes to the same upload this one waits a little, then gets 416 with the current `Range`,
    from which any client can resume.
    """
    upload, data = _named(request), body_at_hand(request)
    async with _resumable(request, upload):
        if data is not None:
            offset = await upload.append_at_once(data, principal(request).name)
        else:
            await _admit(request, upload)
            at, length = _announced(request)
            offset = await upload.append(body(request), at, length)
    return web.Response(status=202, headers=upload_headers(request, upload, offset))


async def finish_upload(request: web.Request) -> web.Response:
    """end-6 `PUT <blob-push-location>?digest=<digest>`: the last chunk, or none, or the whole blob."""
    digest = Digest(single(request, "digest", DigestInvalid) or "")
    upload, data = _named(request), body_at_hand(request)
    async with _resumable(request, upload):
        if data is not None:
            await upload.commit_at_once(digest, data, principal(request).name)
        else:
            await _admit(request, upload)
            at, length = _announced(request)
            await upload.commit(digest, body(request), at, length)
    return blob_created(request, upload.repository, digest)


async def cancel_upload(request: web.Request) -> web.Response:
    """end-14 `DELETE <blob-push-location>`."""
    upload = _named(request)
    await _require_own(request, upload)
    async with _resumable(request, upload):
        await upload.cancel()
    return web.Response(status=204, headers={"Docker-Upload-Uuid": upload.id})


def _named(request: web.Request) -> Upload:
    """The upload that the path names; to know its id is not enough, its owner must be asked for."""
    return repository(request).upload(UploadId(request.match_info["upload"]))


async def _admit(request: web.Request, upload: Upload) -> None:
    await offload(upload.admit, principal(request).name, announced_size(request))


async def _require_own(request: web.Request, upload: Upload) -> None:
    await offload(upload.check_owner, principal(request).name)


async def _push_at_once(request: web.Request, target: Repository, digest: Digest) -> web.Response:
    check_blob_size(request)
    size = announced_size(request)
    upload = await offload(target.start_upload, digest.algorithm, principal(request).name, size)
    try:
        await upload.commit(digest, body(request))
    except BaseException:
        # The client never learned of this upload, so nobody could go on with it.
        with suppress(BlobUploadUnknown):
            await offload(upload.remove)
        raise
    return blob_created(request, target.name, digest)


async def _mount(request: web.Request, target: Repository, digest: Digest) -> bool:
    origin = single(request, "from", NameInvalid)
    if origin is not None:
        name = RepositoryName(origin)
        return may(request, Action.PULL, name) and await offload(
            _mount_from, target, digest, registry(request).repository(name)
        )
    having = registry(request).list_having(digest, view(request, covered=True))
    found = await walk(request, first(having))
    return found is not None and await offload(_mount_from, target, digest, found)


def _mount_from(target: Repository, digest: Digest, source: Repository) -> bool:
    with suppress(BlobUnknown):
        target.mount_blob(digest, source)
        return True
    return False


def _announced(request: web.Request) -> tuple[int | None, int | None]:
    """Where the client thinks the upload stands, and how many bytes it announces beyond what HTTP checks itself."""
    check_blob_size(request)
    header = request.headers.get("Content-Range")
    if header is None:
        return None, None
    announced = parse_content_range(header)
    check_length(announced, request.content_length)
    return announced.start, len(announced)


@asynccontextmanager
async def _resumable(request: web.Request, upload: Upload) -> AsyncIterator[None]:
    """Tell the client of a 416 where the upload stands."""
    try:
        yield
    except UploadRangeInvalid as error:
        offset = await offload(upload.offset)
        raise UploadRangeInvalid(error.detail, headers=upload_headers(request, upload, offset)) from error
