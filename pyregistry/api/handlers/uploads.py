"""Uploads: how blobs come in."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from aiohttp import web

from pyregistry.api.handlers.bodies import announced_size, body, body_at_hand, check_blob_size
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
from pyregistry.threads.turns import first

_OFFSET = re.compile(r"[0-9]{1,19}", re.ASCII)


async def start_upload(request: web.Request) -> web.Response:
    """end-4a, 4b, 4c and 11 `POST /v2/<name>/blobs/uploads/`.

    With `mount` the blob is linked from `from`, or from any repository that the caller may read; if that is not
    possible, for whatever reason, an ordinary upload begins, so that nothing is disclosed. With `digest` the body is
    the whole blob; without a body an upload begins, as in the CNCF registry.
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
            offset = await upload.append_at_once(data, principal(request).name, _sent_from(request))
        else:
            await _admit(request, upload)
            at, length = await _announced(request, upload)
            received = body(request)
            offset = await upload.append(received, at, length, received.direct_reader)
    return web.Response(status=202, headers=upload_headers(request, upload, offset))


async def finish_upload(request: web.Request) -> web.Response:
    """end-6 `PUT <blob-push-location>?digest=<digest>`: the last chunk, or none, or the whole blob."""
    digest = Digest(parameter(request, "digest") or "")
    upload, data = _named(request), body_at_hand(request)
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
    """The upload that the path names; to know its id is not enough, its owner must be asked for."""
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
        # The client never learned of this upload, so nobody could go on with it.
        with suppress(BlobUploadUnknown):
            await offload(upload.remove)
        raise


def mounted(request: web.Request) -> list[Access]:
    """Return the pull that a mount needs beside the push: docker and oras then ask for a token for both."""
    with suppress(NameInvalid):  # then it is no mount, but an upload all the same
        return [Access(Action.PULL, RepositoryName(parameter(request, "from") or ""))]
    return []


async def _mount(request: web.Request, target: Repository) -> Event | None:
    """Mount the blob that the query names; return None if it names none, or if that cannot be done."""
    mount, origin = parameter(request, "mount"), parameter(request, "from")
    if mount is None:
        return None
    try:
        digest = Digest(mount)
        name = None if origin is None else RepositoryName(origin)
    except (DigestInvalid, NameInvalid):  # containerd sends whatever a label says, of any registry
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
    """Where the client thinks the upload stands, and how many bytes it announces beyond what HTTP checks itself."""
    check_blob_size(request)
    header = request.headers.get("Content-Range")
    if not header:  # an empty one says nothing, as in the CNCF registry
        return _sent_from(request), None
    announced = parse_content_range(header)
    try:
        check_length(announced, request.content_length)
    except SizeInvalid:
        await _require_no_gap(announced, upload, exactly=True)  # a 416 tells a client more, and resumes it
        raise
    return announced.start, len(announced)


async def _commit(request: web.Request, upload: Upload, digest: Digest) -> int:
    at, length = await _announced_at_the_end(request, upload)
    try:
        received = body(request)
        return await upload.commit(digest, received, at, length, received.direct_reader)
    except UploadRangeInvalid:
        # A client that does not know whether anything is left sends chunks, and the last may be the only one.
        if not await _is_without_bytes(request):
            raise
        return await upload.commit(digest, body(request))


async def _is_without_bytes(request: web.Request) -> bool:
    """Return True for a body in chunks that ends before its first byte. Waits for that byte."""
    if request.content_length is not None or "Expect" in request.headers:
        return False
    async for _ in body(request):
        return False
    return True


async def _announced_at_the_end(request: web.Request, upload: Upload) -> tuple[int | None, int | None]:
    """As `_announced`, for a closing PUT, which the CNCF registry judges by its digest alone.

    A client may leave there the `Content-Range` of its last chunk, or any text. A gap or a repetition is refused while
    the upload is still there to be resumed: a wrong digest would end it.
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
        raise UploadRangeInvalid(f"this upload stands at byte {offset}, the request at {announced.start}")


def _sent_from(request: web.Request) -> int | None:
    """Return the offset that the client's `Location` names, for a body whose place nothing else says.

    A client that sends a body again after a broken connection uses the `Location` of before: the upload stands
    elsewhere since then. Return None without a body, and for a `Location` that the CNCF registry made. Nothing signs
    the offset: it can make a request refused, never accepted.
    """
    state = parameter(request, "_state") or ""
    return int(state) if request.body_exists and _OFFSET.fullmatch(state) else None


@contextmanager
def _none_if_empty(request: web.Request, digest: Digest) -> Iterator[None]:
    """Go on behind the block if a body of chunks, whose length nothing told, was none at all."""
    try:
        yield
    except DigestInvalid:
        if request.content.total_bytes or digest in EMPTY_DIGESTS:
            raise


@asynccontextmanager
async def _resumable(request: web.Request, upload: Upload) -> AsyncIterator[None]:
    """Tell the client of a 416 where the upload stands."""
    try:
        yield
    except UploadRangeInvalid as error:
        offset = await offload(upload.offset)
        raise UploadRangeInvalid(error.detail, headers=upload_headers(request, upload, offset)) from error
