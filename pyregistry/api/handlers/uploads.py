"""Uploads: pushes of blobs."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from aiohttp import web

from pyregistry.api.handlers.bodies import announced_size, body, body_if_received, check_blob_size
from pyregistry.api.http.context import may, offload, parameter, principal, registry, repository, view, walk
from pyregistry.api.http.decision import caller_of, record
from pyregistry.api.http.ranges import check_length, parse_content_range
from pyregistry.api.http.responses import blob_created, upload_headers
from pyregistry.auth.access import Access, Action
from pyregistry.observe.observers import Event, EventAction, EventTarget
from pyregistry.oci.digest import CANONICAL, EMPTY_DIGESTS, Digest, parse_algorithm
from pyregistry.oci.errors import (
    BlobUnknown,
    BlobUploadUnknown,
    DigestInvalid,
    NameInvalid,
    SizeInvalid,
    UploadRangeInvalid,
)
from pyregistry.oci.media_types import OCTET_STREAM
from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams.uploads import Upload
from pyregistry.threads.fair_scheduler import first

_OFFSET = re.compile(r"[0-9]{1,19}", re.ASCII)


async def start_upload(request: web.Request) -> web.Response:
    """end-4a, 4b, 4c and 11 `POST /v2/<name>/blobs/uploads/`.

    With `mount` the blob is linked from `from`, or from any repository that the caller may pull. If that fails, for any
    reason, an ordinary upload begins, so that nothing is disclosed. With `digest` the body is the whole blob; without
    a body an upload begins, as in the CNCF registry.
    """
    target = repository(request)
    algorithm = parse_algorithm(parameter(request, "digest-algorithm") or CANONICAL)
    mount = await _mount(request, target)
    if mount is not None:
        await record(request, mount)
        return blob_created(request, target.name, mount.digest)
    digest = parameter(request, "digest")
    if digest is not None and (request.body_exists or digest in EMPTY_DIGESTS):
        pushed = Digest(digest)
        with _none_if_empty(request, pushed):
            return await _created(request, target.name, pushed, await _push_at_once(request, target, pushed))
    upload = await offload(target.start_upload, algorithm, principal(request).name)
    return web.Response(status=202, headers=upload_headers(request, upload, 0))


async def upload_status(request: web.Request) -> web.Response:
    """end-13 `GET` and `HEAD <blob-push-location>`: the offset of an upload."""
    upload = _named(request)
    await _require_own(request, upload)
    offset = await offload(upload.offset)
    return web.Response(status=204, headers=upload_headers(request, upload, offset))


async def append_to_upload(request: web.Request) -> web.Response:
    """end-5 `PATCH <blob-push-location>`: a chunk, or without `Content-Range` the next bytes.

    While another request writes to the same upload, this one waits a little. Then it gets a 416 with the current
    `Range`, from which any client can resume.
    """
    upload, data = _named(request), body_if_received(request)
    async with _resumable(request, upload):
        if data is not None:
            offset = await upload.append_at_once(data, principal(request).name, _sent_from(request))
        else:
            await _admit(request, upload)
            at, length = await _announced(request, upload)
            received = body(request)
            offset = await upload.append(received, at, length, received.direct_reader)
    return web.Response(status=202, headers=upload_headers(request, upload, offset))


async def finish_upload(request: web.Request) -> web.Response:
    """end-6 `PUT <blob-push-location>?digest=<digest>`, with the last chunk, the whole blob, or no body."""
    digest = Digest(parameter(request, "digest") or "")
    upload, data = _named(request), body_if_received(request)
    async with _resumable(request, upload):
        if data is not None:
            at = _sent_from(request) if data else None
            size = await upload.commit_at_once(digest, data, principal(request).name, at)
        else:
            await _admit(request, upload)
            size = await _commit(request, upload, digest)
    return await _created(request, upload.repository, digest, size)


async def cancel_upload(request: web.Request) -> web.Response:
    """end-14 `DELETE <blob-push-location>`."""
    upload = _named(request)
    await _require_own(request, upload)
    async with _resumable(request, upload):
        await upload.cancel()
    return web.Response(status=204, headers={"Docker-Upload-Uuid": upload.id})


def _named(request: web.Request) -> Upload:
    """Return the upload that the path names; its owner must still be checked."""
    return repository(request).upload(UploadId(request.match_info["upload"]))


async def _admit(request: web.Request, upload: Upload) -> None:
    await offload(upload.admit, principal(request).name, announced_size(request))


async def _require_own(request: web.Request, upload: Upload) -> None:
    await offload(upload.check_owner, principal(request).name)


async def _created(request: web.Request, name: RepositoryName, digest: Digest, size: int) -> web.Response:
    event = Event(EventAction.PUSH, EventTarget.BLOB, name, digest, caller_of(request), OCTET_STREAM, size)
    await record(request, event)
    return blob_created(request, name, digest)


async def _push_at_once(request: web.Request, target: Repository, digest: Digest) -> int:
    check_blob_size(request)
    size = announced_size(request)
    upload = await offload(target.start_upload, digest.algorithm, principal(request).name, size)
    try:
        received = body(request)
        return await upload.commit(digest, received, direct=received.direct_reader)
    except BaseException:
        # The client never learned of this upload, so it cannot be continued.
        with suppress(BlobUploadUnknown):
            await offload(upload.remove)
        raise


def mounted(request: web.Request) -> list[Access]:
    """Return the pull that a mount needs in addition to the push: docker and oras then request a token for both."""
    with suppress(NameInvalid):  # then it is an ordinary upload
        return [Access(Action.PULL, RepositoryName(parameter(request, "from") or ""))]
    return []


async def _mount(request: web.Request, target: Repository) -> Event | None:
    """Mount the blob that the query names; return None if it does not name one, or if that fails."""
    mount, origin = parameter(request, "mount"), parameter(request, "from")
    if mount is None:
        return None
    try:
        digest = Digest(mount)
        name = None if origin is None else RepositoryName(origin)
    except (DigestInvalid, NameInvalid):  # containerd sends any text of a label, of any registry
        return None
    source = await _any_source(request, digest) if name is None else _source(request, name)
    size = None if source is None else await offload(_mount_from, target, digest, source)
    if source is None or size is None:
        return None
    caller, target_name = caller_of(request), target.name
    return Event(
        EventAction.MOUNT, EventTarget.BLOB, target_name, digest, caller, OCTET_STREAM, size, source=source.name
    )


def _source(request: web.Request, name: RepositoryName) -> Repository | None:
    return registry(request).repository(name) if may(request, Action.PULL, name) else None


async def _any_source(request: web.Request, digest: Digest) -> Repository | None:
    having = registry(request).list_having(digest, view(request, covered=True))
    return await walk(request, first(having))


def _mount_from(target: Repository, digest: Digest, source: Repository) -> int | None:
    size = None
    with suppress(BlobUnknown):
        size = target.mount_blob(digest, source)
    return size


async def _announced(request: web.Request, upload: Upload) -> tuple[int | None, int | None]:
    """Return the offset that the client expects, and the announced length if HTTP does not check it."""
    check_blob_size(request)
    header = request.headers.get("Content-Range")
    if not header:  # an empty one counts as absent, as in the CNCF registry
        return _sent_from(request), None
    announced = parse_content_range(header)
    try:
        check_length(announced, request.content_length)
    except SizeInvalid:
        await _require_no_gap(announced, upload, exactly=True)  # from a 416 a client can resume
        raise
    return announced.start, len(announced)


async def _commit(request: web.Request, upload: Upload, digest: Digest) -> int:
    at, length = await _announced_at_the_end(request, upload)
    try:
        received = body(request)
        return await upload.commit(digest, received, at, length, received.direct_reader)
    except UploadRangeInvalid:
        # A client that does not know if bytes are left uses chunked coding, perhaps with an empty body.
        if not await _is_without_bytes(request):
            raise
        return await upload.commit(digest, body(request))


async def _is_without_bytes(request: web.Request) -> bool:
    """Return True for an empty chunked body. Waits for its first byte or its end."""
    if request.content_length is not None or "Expect" in request.headers:
        return False
    async for _ in body(request):
        return False
    return True


async def _announced_at_the_end(request: web.Request, upload: Upload) -> tuple[int | None, int | None]:
    """Return as `_announced`, for a closing PUT, which the CNCF registry checks by its digest alone.

    A client may send the `Content-Range` of its last chunk, or any text. A gap or a repetition is refused while
    the upload can still be resumed: a wrong digest would end it.
    """
    try:
        announced = parse_content_range(request.headers.get("Content-Range", ""))
    except UploadRangeInvalid:
        check_blob_size(request)
        return _sent_from(request), None
    if request.body_exists:
        return await _announced(request, upload)
    await _require_no_gap(announced, upload)
    return None, None


async def _require_no_gap(announced: range, upload: Upload, *, exactly: bool = False) -> None:
    offset = await offload(upload.offset)
    if announced.start > offset or (exactly and announced.start < offset):
        raise UploadRangeInvalid(f"this upload continues at byte {offset}, the request begins at {announced.start}")


def _sent_from(request: web.Request) -> int | None:
    """Return the offset in the client's `Location`, for a body without `Content-Range`.

    A client that repeats a body after a broken connection uses an old `Location`, with an outdated offset.
    Return None without a body, and for a `Location` of the CNCF registry. The offset is not signed: it can get a
    request refused, never accepted.
    """
    state = parameter(request, "_state") or ""
    return int(state) if request.body_exists and _OFFSET.fullmatch(state) else None


@contextmanager
def _none_if_empty(request: web.Request, digest: Digest) -> Iterator[None]:
    """Ignore DigestInvalid if a chunked body, whose length was not announced, was empty."""
    try:
        yield
    except DigestInvalid:
        if request.content.total_bytes or digest in EMPTY_DIGESTS:
            raise


@asynccontextmanager
async def _resumable(request: web.Request, upload: Upload) -> AsyncIterator[None]:
    """Add the upload's offset to a 416."""
    try:
        yield
    except UploadRangeInvalid as error:
        offset = await offload(upload.offset)
        raise UploadRangeInvalid(error.detail, headers=upload_headers(request, upload, offset)) from error
