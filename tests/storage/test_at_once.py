"""A small body that is here already is taken in one go, with the same results as one that arrives."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobTooLarge, BlobUnknown, BlobUploadUnknown, DigestInvalid, UploadRangeInvalid
from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout, uploads
from pyregistry.storage.seams.rules import Rules
from pyregistry.storage.seams.uploads import Upload
from tests.storage.failing import FailingDriver
from tests.storage.installations import Installation
from tests.storage.paths import content_of
from tests.storage.pushing import Body, files_of, push_blob, registry_on, repository, stream

CONTENT = b"0123456789"
DIGEST = Digest.of(CONTENT)
FOREIGN = UploadId("0f3b1c2d-4e5f-4a6b-8c7d-9e0f1a2b3c4d")


@pytest.fixture
def repo(installation: Installation) -> Repository:
    return installation.repository()


async def start(repo: Repository, owner: str | None = None) -> Upload:
    return await asyncio.to_thread(repo.start_upload, "sha256", owner)


async def stored(repo: Repository, digest: Digest) -> bytes:
    return await asyncio.to_thread(lambda: content_of(repo.blob(digest)))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("chunks", [[CONTENT], [b"01234", b"56789"], [b"", CONTENT, b""]], ids=["one", "two", "empty"])
@pytest.mark.parametrize("change", [True, False], ids=["another worker each time", "one worker"])
@pytest.mark.parametrize("last", [b"", b"the end"])
async def test_what_is_taken_at_once_becomes_the_blob(
    installation: Installation, algorithm: str, chunks: list[bytes], change: bool, last: bytes
) -> None:
    repo = installation.repository()
    upload = await start(repo)
    offset = 0
    for chunk in chunks:
        offset += len(chunk)
        assert await upload.append_at_once(chunk, None) == offset
        if change:
            upload = installation.repository().upload(upload.id)
    digest = Digest.of(CONTENT + last, algorithm)
    await upload.commit_at_once(digest, last, None)
    assert await stored(repo, digest) == CONTENT + last
    left = [path for path in await asyncio.to_thread(files_of, installation.driver) if upload.id in path]
    assert left == []


async def test_what_arrives_and_what_is_taken_at_once_stand_behind_each_other(repo: Repository) -> None:
    upload = await start(repo)
    await upload.append(stream(b"01", b"2"))
    await upload.append_at_once(b"345", None)
    await upload.append(stream(b"67"))
    await upload.commit_at_once(DIGEST, b"89", None)
    assert await stored(repo, DIGEST) == CONTENT


async def test_another_digest_is_refused_and_ends_the_upload(repo: Repository) -> None:
    upload = await start(repo)
    with pytest.raises(DigestInvalid):
        await upload.commit_at_once(Digest.of(b"other"), CONTENT, None)
    with pytest.raises(BlobUploadUnknown):
        await upload.append_at_once(b"x", None)
    with pytest.raises(BlobUnknown):
        await stored(repo, Digest.of(b"other"))


async def test_a_blob_has_the_largest_size_that_is_allowed_and_no_more(installation: Installation) -> None:
    repo = installation.repository(Rules(max_blob_size=10))
    upload = await start(repo)
    assert await upload.append_at_once(CONTENT, None) == 10
    with pytest.raises(BlobTooLarge):
        await upload.append_at_once(b"x", None)
    with pytest.raises(BlobTooLarge):
        await upload.commit_at_once(Digest.of(CONTENT + b"x"), b"x", None)
    assert await asyncio.to_thread(upload.offset) == 10
    await upload.commit_at_once(DIGEST, b"", None)


Calls = list[Callable[[Upload, str | None], object]]
CALLS: Calls = [
    lambda upload, user: upload.append_at_once(b"x", user),
    lambda upload, user: upload.commit_at_once(DIGEST, b"", user),
]


@pytest.mark.parametrize("call", [0, 1], ids=["append", "commit"])
@pytest.mark.parametrize("user", [None, "mallory"])
async def test_an_upload_of_another_user_is_unknown_and_stays_as_it_is(
    repo: Repository, call: int, user: str | None
) -> None:
    upload = await start(repo, "alice")
    await upload.append_at_once(CONTENT, "alice")
    with pytest.raises(BlobUploadUnknown):
        await CALLS[call](repo.upload(upload.id), user)  # type: ignore[misc] # both are awaitable
    assert await asyncio.to_thread(upload.offset) == len(CONTENT)
    await repo.upload(upload.id).commit_at_once(DIGEST, b"", "alice")


@pytest.mark.parametrize("call", [0, 1], ids=["append", "commit"])
async def test_an_upload_that_never_began_is_unknown(repo: Repository, call: int) -> None:
    with pytest.raises(BlobUploadUnknown):
        await CALLS[call](repo.upload(FOREIGN), None)  # type: ignore[misc] # both are awaitable


@pytest.mark.parametrize("at_once", [True, False], ids=["with the commit", "with an append"])
async def test_an_upload_of_the_cncf_registry_without_data_can_be_finished(root: Path, at_once: bool) -> None:
    directory = root / layout.upload(RepositoryName("team/app"), FOREIGN)

    def prepare() -> None:
        (directory / "hashstates/sha256").mkdir(parents=True)
        (directory / "hashstates/sha256/0").write_bytes(b"sha\x03")
        (directory / "startedat").write_bytes(b"2026-01-02T03:04:05Z")

    await asyncio.to_thread(prepare)
    repo = repository(registry_on(await asyncio.to_thread(FilesystemDriver, root)))
    upload = repo.upload(FOREIGN)
    if not at_once:
        assert await upload.append_at_once(CONTENT, None) == 10
    await upload.commit_at_once(DIGEST, CONTENT if at_once else b"", None)
    assert await stored(repo, DIGEST) == CONTENT
    assert not await asyncio.to_thread(directory.exists)


@pytest.mark.parametrize("commits", [True, False])
async def test_a_request_waits_for_another_one_on_the_same_upload(repo: Repository, commits: bool) -> None:
    upload = await start(repo)
    await upload.append_at_once(b"01234", None)
    body = Body(b"567")
    first = asyncio.create_task(upload.append(body))
    await body.begun.wait()
    call: Awaitable[int] = upload.commit_at_once(DIGEST, b"89", None) if commits else upload.append_at_once(b"89", None)
    waiting = asyncio.ensure_future(call)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    body.end.set()
    await asyncio.gather(first, waiting)
    if not commits:
        await upload.commit_at_once(DIGEST, b"", None)
    assert await stored(repo, DIGEST) == CONTENT


async def test_a_request_does_not_wait_for_ever(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "BUSY_WAIT_SECONDS", 0.05)
    upload = await start(repo)
    body = Body(b"first")
    first = asyncio.create_task(upload.append(body))
    await body.begun.wait()
    for call in CALLS:
        with pytest.raises(UploadRangeInvalid):
            await call(upload, None)  # type: ignore[misc] # both are awaitable
    body.end.set()
    assert await first == 5


@pytest.mark.parametrize("after", [True, False], ids=["after its work", "before its work"])
def test_a_failed_commit_can_be_repeated_or_its_upload_is_gone(after: bool) -> None:
    failures = 0
    for number in count(1):
        driver = MemoryDriver()
        repo = repository(registry_on(driver))
        upload = repo.start_upload()
        asyncio.run(upload.append_at_once(b"content", None))
        failing = FailingDriver(driver, number, after=after)
        with suppress(OSError):
            upload = repository(registry_on(failing)).upload(upload.id)
            asyncio.run(upload.commit_at_once(Digest.of(b"content"), b"", None))
        if not failing.failed:
            break
        failures += 1
        again = repo.upload(upload.id)
        try:
            content = b"content" * (again.offset() == 0)
            asyncio.run(again.commit_at_once(Digest.of(b"content"), content, None))
        except BlobUploadUnknown:  # which tells the client to begin again
            push_blob(repo, b"content")
        assert repo.blob(Digest.of(b"content")).size == 7
    assert failures > 4


async def test_a_request_that_is_cancelled_is_carried_out_to_its_end(repo: Repository) -> None:
    upload = await start(repo)
    task = asyncio.ensure_future(upload.append_at_once(CONTENT, None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(upload.offset) == len(CONTENT)
