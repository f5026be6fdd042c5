"""Contract of every implementation of uploads, with two workers, a full disk or a failing one in the way.

The ordinary ways are in test_uploads.py, test_at_once.py and test_upload_ends.py, on the same implementations.
"""

import asyncio
import errno
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import (
    BlobUnknown,
    BlobUploadUnknown,
    DigestInvalid,
    StorageFull,
    Unavailable,
    UploadRangeInvalid,
)
from pyregistry.oci.names import UploadId
from pyregistry.storage.delegating import DelegatingDriver
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.uploads import LocalUploads
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout, uploads
from pyregistry.storage.seams.rules import Rules
from pyregistry.storage.seams.uploads import Read, Upload
from pyregistry.storage.uploads.batches import BATCH_BYTES, FIRST_BATCH_BYTES
from tests.storage.delegating import DelegatingCoordinator
from tests.storage.delegating_uploads import FailingUploads
from tests.storage.failing import FailingDriver
from tests.storage.faults import FailingSync
from tests.storage.installations import Installation, local, pieces
from tests.storage.paths import content_of
from tests.storage.pushing import Body, push_blob, registry_on, repository, stream

T = TypeVar("T")
CONTENT = b"0123456789"
DIGEST = Digest.of(CONTENT)
LARGE = os.urandom(FIRST_BATCH_BYTES + 2 * BATCH_BYTES + 100_000)
"""Four batches."""


def appended(repo: Repository, content: bytes = b"") -> Upload:
    """An upload that holds `content`."""
    upload = repo.start_upload()
    if content:
        asyncio.run(upload.append(stream(content)))
    return upload


def size_of(upload: Upload) -> int | None:
    """The bytes that it holds, None if it is unknown."""
    with suppress(BlobUploadUnknown):
        upload.check_owner(None)
        return upload.offset()
    return None


def assert_can_be_pushed(repo: Repository, upload_id: UploadId, content: bytes) -> None:
    """Continue at the upload's offset, as a client does, or begin again where it is unknown."""
    digest, upload = Digest.of(content), repo.upload(upload_id)
    with suppress(BlobUnknown):
        assert content_of(repo.blob(digest)) == content
    size = size_of(upload)
    if size is None:
        push_blob(repo, content)
    else:
        asyncio.run(upload.commit(digest, stream(content[size:]), at=size))
    assert content_of(repo.blob(digest)) == content
    assert size_of(upload) is None


# Two workers


@pytest.mark.parametrize("at", [0, None], ids=["that say where they stand", "that do not"])
async def test_of_two_workers_at_the_same_offset_one_is_refused_and_nothing_is_mixed(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, at: int | None
) -> None:
    monkeypatch.setattr(uploads, "BUSY_WAIT_SECONDS", 0.1)
    first, second = installation.repository(), installation.repository()
    upload = await asyncio.to_thread(first.start_upload)
    bodies = [Body(b"a" * 10), Body(b"b" * 10)]
    requests = [
        asyncio.create_task(repo.upload(upload.id).append(body, at))
        for repo, body in zip((first, second), bodies, strict=True)
    ]
    await asyncio.wait({asyncio.create_task(body.begun.wait()) for body in bodies}, return_when="FIRST_COMPLETED")
    await asyncio.sleep(0.2)
    for body in bodies:
        body.end.set()
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert sorted(map(str, map(type, results))) == sorted(map(str, (int, UploadRangeInvalid)))
    winner = b"b" * 10 if isinstance(results[0], UploadRangeInvalid) else b"a" * 10
    await second.upload(upload.id).commit(Digest.of(winner), stream())


async def test_each_request_may_come_to_another_worker(installation: Installation) -> None:
    upload_id = (await asyncio.to_thread(installation.repository().start_upload)).id
    for at in range(5):
        assert await installation.repository().upload(upload_id).append(stream(CONTENT[at : at + 1]), at) == at + 1
    assert await installation.repository().upload(upload_id).commit(DIGEST, stream(CONTENT[5:]), at=5) == len(CONTENT)
    with pytest.raises(BlobUploadUnknown):
        await installation.repository().upload(upload_id).cancel()


_OTHER_PROCESS = """
import asyncio, sys
from pathlib import Path
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import UploadId
from tests.storage.installations import INSTALLATIONS
from tests.storage.pushing import stream
kind, root, upload = sys.argv[1:]
upload = INSTALLATIONS[kind](Path(root)).repository().upload(UploadId(upload))
print(asyncio.run(upload.append(stream(b"345"), at=3)))
"""


@pytest.mark.parametrize(("kind", "make"), [("local files", local), ("pieces in a directory", pieces)])
def test_another_process_goes_on_with_an_upload(root: Path, kind: str, make: Callable[[Path], Installation]) -> None:
    repo = make(root).repository()
    upload = appended(repo, b"012")
    command = [sys.executable, "-c", _OTHER_PROCESS, kind, str(root), upload.id]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"6\n"
    assert upload.offset() == 6
    asyncio.run(upload.commit(DIGEST, stream(b"6789"), at=6))
    assert content_of(repo.blob(DIGEST)) == CONTENT


# Owners, age


@pytest.mark.parametrize(
    ("owner", "user", "may"),
    [
        ("alice", "alice", True),
        ("alice", "bob", False),
        ("alice", None, False),
        (None, "bob", True),
        (None, None, True),
    ],
)
def test_an_upload_is_known_to_its_owner_alone(
    installation: Installation, owner: str | None, user: str | None, may: bool
) -> None:
    upload_id = installation.repository().start_upload("sha512", owner).id
    upload = installation.repository().upload(upload_id)
    questions: list[Callable[[], None]] = [lambda: upload.check_owner(user), lambda: upload.admit(user, 1)]
    for question in questions:
        if may:
            question()
        else:
            with pytest.raises(BlobUploadUnknown):
                question()
    assert upload.offset() == 0


async def test_an_upload_expires_by_its_last_byte_and_not_under_a_writer(installation: Installation) -> None:
    repo = installation.repository()
    upload = await asyncio.to_thread(repo.start_upload)
    await upload.append(stream(CONTENT))
    state = await asyncio.to_thread(upload.state)
    assert state is not None
    assert state.size == len(CONTENT)
    assert abs(time.time_ns() - state.changed_ns) < 60 * 10**9
    assert not await upload.expire(state.changed_ns)
    body = Body(b"more")
    writing = asyncio.create_task(upload.append(body))
    await body.begun.wait()
    assert not await upload.expire(state.changed_ns + 10**12)
    body.end.set()
    await writing
    assert await upload.expire(state.changed_ns + 10**12)
    assert not await upload.expire(state.changed_ns + 10**12)
    assert await asyncio.to_thread(upload.state) is None
    assert await asyncio.to_thread(lambda: list(repo.uploads())) == []


def test_the_open_uploads_of_a_repository_are_listed(installation: Installation) -> None:
    repo = installation.repository()
    assert list(repo.uploads()) == []
    begun = sorted(repo.start_upload().id for _ in range(5))
    asyncio.run(repo.upload(begun[2]).commit(DIGEST, stream(CONTENT)))
    asyncio.run(repo.upload(begun[4]).cancel())
    assert [(each.repository, each.id) for each in installation.repository().uploads()] == [
        (repo.name, upload_id) for upload_id in (begun[0], begun[1], begun[3])
    ]


# The direct way


class DirectBody:
    """A body of which a thread may read what comes next, as from a socket."""

    def __init__(self, content: bytes, step: int) -> None:
        self._left = [content[at : at + step] for at in range(0, len(content), step)]
        self.read_directly = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._left:
            yield self._left.pop(0)

    @contextmanager
    def direct_reader(self) -> Iterator[Read | None]:
        yield self._read

    def _read(self, buffer: memoryview) -> Sequence[memoryview]:
        if not self._left:
            return []
        piece = self._left.pop(0)
        buffer[: len(piece)] = piece
        self.read_directly += len(piece)
        return [buffer[: len(piece)]]


@pytest.mark.parametrize("commits", [True, False], ids=["in a commit", "in an append"])
async def test_a_body_that_can_be_read_directly_arrives_whole(installation: Installation, commits: bool) -> None:
    repo, body = installation.repository(), DirectBody(LARGE, 100_000)
    upload = await asyncio.to_thread(repo.start_upload)
    if commits:
        assert await upload.commit(Digest.of(LARGE), body, direct=body.direct_reader) == len(LARGE)
    else:
        assert await upload.append(body, 0, len(LARGE), body.direct_reader) == len(LARGE)
        await installation.repository().upload(upload.id).commit(Digest.of(LARGE), stream())
    assert body.read_directly > 0
    assert content_of(await asyncio.to_thread(repo.blob, Digest.of(LARGE))) == LARGE


# Faults


class FullDriver(DelegatingDriver):
    """A driver that says it has no room."""

    def available_bytes(self, path: layout.StoragePath = layout.REPOSITORIES) -> int:
        return 0


def test_without_room_no_upload_begins_and_no_body_is_admitted(installation: Installation) -> None:
    upload_id = appended(installation.repository(), CONTENT).id
    full = installation.repository(driver=FullDriver(installation.driver))
    assert full.upload(upload_id).available_bytes() == 0
    with pytest.raises(StorageFull):
        full.start_upload()
    with pytest.raises(StorageFull):
        full.upload(upload_id).admit(None, 1)
    full.upload(upload_id).admit(None, 0)
    asyncio.run(full.upload(upload_id).commit(DIGEST, stream()))


class FailingWrites(DelegatingDriver):
    """A driver of which the n-th write of an upload's piece fails."""

    def __init__(self, driver: Driver, fails_at: int, error: int) -> None:
        super().__init__(driver)
        self._left = fails_at
        self._error = error

    def around(self, verb: str, path: str, work: Callable[[], T]) -> T:
        if verb == "write" and "/_uploads/" in path and not path.endswith("/startedat"):
            self._left -= 1
            if self._left == 0:
                raise OSError(self._error, os.strerror(self._error))
        return work()


def break_write(installation: Installation, monkeypatch: pytest.MonkeyPatch, fails_at: int, error: int) -> Repository:
    """A worker of which the n-th write of a body's bytes fails."""
    if installation.uploads is not LocalUploads:
        return installation.repository(driver=FailingWrites(installation.driver, fails_at, error))
    writev, left = os.writev, count(1)

    def write(handle: int, pieces: list[memoryview]) -> int:
        if next(left) == fails_at:
            raise OSError(error, os.strerror(error))
        return writev(handle, pieces)

    monkeypatch.setattr(os, "writev", write)
    return installation.repository()


@pytest.mark.parametrize("fails_at", [1, 2, 4], ids=["the first", "the second", "the last"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EDQUOT], ids=errno.errorcode.get)
@pytest.mark.parametrize("commits", [True, False], ids=["in a commit", "in an append"])
def test_of_an_upload_of_which_a_write_failed_whole_batches_stay_or_nothing(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, fails_at: int, error: int, commits: bool
) -> None:
    with monkeypatch.context() as broken:
        repo = break_write(installation, broken, fails_at, error)
        upload = repo.start_upload()
        chunks = stream(*(LARGE[at : at + 65_536] for at in range(0, len(LARGE), 65_536)))
        with pytest.raises(OSError, match=os.strerror(error)):
            asyncio.run(upload.commit(Digest.of(LARGE), chunks) if commits else upload.append(chunks))
    size = size_of(installation.repository().upload(upload.id))
    if error != errno.EIO:
        assert size == [0, FIRST_BATCH_BYTES, FIRST_BATCH_BYTES + 2 * BATCH_BYTES][[1, 2, 4].index(fails_at)]
    if size is not None:
        assert installation.content_of(upload) == LARGE[:size]
    assert_can_be_pushed(installation.repository(), upload.id, LARGE)


Call = Callable[[Upload], Awaitable[int]]
CALLS: dict[str, Call] = {
    "an append": lambda upload: upload.append(stream(b"345"), at=3),
    "a small append": lambda upload: upload.append_at_once(b"345", None, 3),
    "a commit": lambda upload: upload.commit(DIGEST, stream(CONTENT[3:]), at=3),
    "a small commit": lambda upload: upload.commit_at_once(DIGEST, CONTENT[3:], None, 3),
}


async def called(call: Call, upload: Upload) -> int:
    """For asyncio.run, which wants a coroutine."""
    return await call(upload)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("after", [False, True], ids=["before its work", "after its work"])
def test_after_a_failure_of_any_call_of_the_storage_the_push_can_go_on(
    installation: Installation, call: Call, after: bool
) -> None:
    for number in count(1):
        repo = repository(installation.worker(), f"app{number}")
        upload = appended(repo, CONTENT[:3])
        failing = FailingDriver(installation.driver, number, after=after)
        broken = repository(installation.worker(driver=failing), f"app{number}")
        with suppress(OSError):
            asyncio.run(called(call, broken.upload(upload.id)))
        if not failing.failed:
            break
        assert_can_be_pushed(repository(installation.worker(), f"app{number}"), upload.id, CONTENT)
    assert number > 2


@pytest.mark.parametrize("make", [local, pieces], ids=["local files", "pieces"])
def test_after_a_lost_sync_no_blob_is_visible_that_is_not_whole_and_the_push_can_go_on(
    root: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Installation]
) -> None:
    """For every n: the n-th sync of a commit fails."""
    installation = make(root)
    for number in count(1):
        content = b"content %d" % number
        repo = installation.repository()
        upload = appended(repo, content)
        with monkeypatch.context() as failing:
            fault = FailingSync(failing, number)
            with suppress(OSError):
                asyncio.run(upload.commit(Digest.of(content), stream()))
        if fault.failed_on is None:
            break
        assert_can_be_pushed(installation.repository(), upload.id, content)
    assert number > 3


def refuse(verb: str) -> None:
    """Fail as a coordinator does when a request has waited for too long."""
    raise Unavailable(f"{verb} as ordered")


@pytest.mark.parametrize("call", ["a commit", "a small commit"])
def test_a_commit_that_waited_too_long_may_come_again_as_it_was(installation: Installation, call: str) -> None:
    upload = appended(installation.repository(), CONTENT[:3])
    coordinator = DelegatingCoordinator(installation.coordinator(installation.driver), refuse)
    busy = installation.uploads(installation.driver, 1_000, coordinator).open(upload.repository, upload.id)
    with pytest.raises(Unavailable):
        asyncio.run(called(CALLS[call], busy))
    assert upload.offset() == 3
    assert asyncio.run(called(CALLS[call], upload)) == len(CONTENT)
    assert content_of(installation.repository().blob(DIGEST)) == CONTENT


def test_what_another_worker_appends_during_a_commit_is_not_taken_back_with_it(root: Path) -> None:
    installation = pieces(root)
    upload = appended(installation.repository(), CONTENT[:3])

    def append_and_refuse(verb: str) -> None:
        assert asyncio.run(installation.repository().upload(upload.id).append(stream(CONTENT[3:6]), at=3)) == 6
        refuse(verb)

    coordinator = DelegatingCoordinator(installation.coordinator(installation.driver), append_and_refuse)
    busy = installation.uploads(installation.driver, 1_000, coordinator).open(upload.repository, upload.id)
    with pytest.raises(Unavailable):
        asyncio.run(busy.commit(Digest.of(CONTENT[:3]), stream()))
    assert upload.offset() == 6
    asyncio.run(upload.commit(DIGEST, stream(CONTENT[6:]), at=6))


def test_after_a_failure_of_any_call_of_the_seam_the_push_can_go_on(installation: Installation) -> None:
    async def push(repo: Repository, upload_id: UploadId) -> None:
        upload = repo.upload(upload_id)
        await asyncio.to_thread(upload.check_owner, None)
        await upload.append_at_once(b"012", None)
        await asyncio.to_thread(upload.admit, None, 3)
        await upload.append(stream(b"345"), at=3)
        await asyncio.to_thread(upload.offset)
        await upload.commit(DIGEST, stream(b"6789"), at=6)

    failed = []
    for after in (False, True):
        for number in count(1):
            repo = installation.repository()
            upload_id = appended(repo).id
            inner = installation.uploads_on(installation.driver, Rules())
            failing = FailingUploads(inner, number, after=after)
            worker = registry_on(installation.driver, uploads=failing)
            with suppress(OSError):
                asyncio.run(push(repository(worker), upload_id))
            if failing.failed_in is None:
                break
            failed.append(failing.failed_in)
            assert_can_be_pushed(installation.repository(), upload_id, CONTENT)
    assert failed == 2 * ["check_owner", "append_at_once", "admit", "append", "offset", "commit"]


def test_a_wrong_digest_ends_the_upload_for_every_worker(installation: Installation) -> None:
    upload = appended(installation.repository(), b"012")
    with pytest.raises(DigestInvalid):
        asyncio.run(installation.repository().upload(upload.id).commit(DIGEST, stream(b"other")))
    assert size_of(upload) is None
    with pytest.raises(BlobUploadUnknown):
        asyncio.run(upload.append(stream(b"345")))
    assert list(installation.repository().uploads()) == []
