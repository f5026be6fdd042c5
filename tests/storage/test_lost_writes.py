"""An error that may have cost bytes is final: no repetition of the request makes them durable, so none is a success."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobUnknown, BlobUploadUnknown, RegistryError
from pyregistry.oci.names import Tag, UploadId
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.uploads import Upload
from pyregistry.storage.uploads import batches
from tests.builders import image
from tests.storage.faults import LYING, FailingSync, fail_writes, refuse
from tests.storage.mounts import tmpfs
from tests.storage.paths import at
from tests.storage.pushing import pull, push_blob, push_image, registry_on, repository, stream, tagged_images

CONTENT = os.urandom(3 * batches.BATCH_BYTES)
DIGEST = Digest.of(CONTENT)
SMALL = b"content"


@pytest.fixture
def small(root: Path) -> Iterator[FilesystemDriver]:
    """A driver on a file system of a megabyte."""
    with tmpfs(root, "size=1m") as directory:
        yield FilesystemDriver(directory)


def new_worker(root: Path) -> Repository:
    """The repository as a process sees it that has just begun."""
    return repository(registry_on(FilesystemDriver(root)))


async def another(root: Path) -> Repository:
    """The same, off the event loop."""
    return await asyncio.to_thread(new_worker, root)


async def begun(repo: Repository, content: bytes = CONTENT) -> Upload:
    """An upload that holds `content`, or nothing."""
    upload = await asyncio.to_thread(repo.start_upload)
    if content:
        await upload.append(stream(content))
    return upload


async def is_unknown(repo: Repository, upload_id: UploadId) -> bool:
    """Return True if each request of an upload, as the API makes it, finds nothing."""

    async def finds_nothing(request: Callable[[Upload], Awaitable[object]]) -> bool:
        upload = repo.upload(upload_id)
        try:
            await asyncio.to_thread(upload.check_owner, None)
            await request(upload)
        except BlobUploadUnknown:
            return True
        return False

    requests: list[Callable[[Upload], Awaitable[object]]] = [
        lambda upload: asyncio.to_thread(upload.offset),
        lambda upload: upload.append(stream(SMALL)),
        lambda upload: upload.append_at_once(SMALL, None),
        lambda upload: upload.commit_at_once(DIGEST, b"", None),
        lambda upload: upload.commit(DIGEST, stream()),
    ]
    return all([await finds_nothing(request) for request in requests])


Ending = Callable[[Upload], Awaitable[object]]
COMMITS: dict[str, Ending] = {
    "at once": lambda upload: upload.commit_at_once(DIGEST, b"", None),
    "in a stream": lambda upload: upload.commit(DIGEST, stream()),
}


@pytest.mark.parametrize("error", LYING, ids=errno.errorcode.get)
@pytest.mark.parametrize("commit", COMMITS.values(), ids=COMMITS.keys())
async def test_an_upload_whose_sync_failed_is_gone_for_every_worker(
    root: Path, monkeypatch: pytest.MonkeyPatch, commit: Ending, error: int
) -> None:
    repo = await another(root)
    upload = await begun(repo)
    fault = FailingSync(monkeypatch, 1, error)
    with pytest.raises(OSError, match=os.strerror(error)):
        await commit(upload)
    assert fault.failed_on == root / layout.upload_data(repo.name, upload.id)
    assert await is_unknown(repo, upload.id)
    assert await is_unknown(await another(root), upload.id)
    with pytest.raises(BlobUnknown):
        await asyncio.to_thread(repo.blob, DIGEST)
    await (await begun(repo)).commit(DIGEST, stream())


WRITES: dict[str, Ending] = {
    "a small PATCH at once": lambda upload: upload.append_at_once(SMALL, None),
    "a large PATCH": lambda upload: upload.append(stream(CONTENT)),
    "a small PUT at once": lambda upload: upload.commit_at_once(Digest.of(CONTENT + SMALL), SMALL, None),
    "a large PUT": lambda upload: upload.commit(Digest.of(CONTENT + CONTENT), stream(CONTENT)),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
@pytest.mark.parametrize("error", [errno.EIO, errno.EROFS, errno.ENODEV], ids=errno.errorcode.get)
async def test_an_upload_of_which_a_write_failed_is_gone_for_every_worker(
    root: Path, monkeypatch: pytest.MonkeyPatch, write: Ending, error: int
) -> None:
    repo = await another(root)
    upload = await begun(repo)
    fail_writes(monkeypatch, error, behind=1)
    with pytest.raises(OSError, match=os.strerror(error)):
        await write(upload)
    assert await is_unknown(repo, upload.id)
    assert await is_unknown(await another(root), upload.id)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG], ids=errno.errorcode.get)
@pytest.mark.parametrize("lost", [False, True], ids=["what came before is on the disk", "and is not"])
async def test_what_came_before_a_write_without_room_stays_if_it_can_be_synced(
    root: Path, monkeypatch: pytest.MonkeyPatch, write: Ending, error: int, lost: bool
) -> None:
    repo = await another(root)
    upload = await begun(repo)
    with monkeypatch.context() as full:
        fail_writes(full, error, behind=1)
        if lost:
            FailingSync(full, 1)
        with pytest.raises(OSError, match=os.strerror(error)):
            await write(upload)
    if lost:
        assert await is_unknown(repo, upload.id)
    else:
        await (await another(root)).upload(upload.id).commit(DIGEST, stream())


async def test_the_smallest_writes_of_a_stream_are_judged_as_well(
    small: FilesystemDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(small.write, at("a"), b"")
    fault = FailingSync(monkeypatch, 1)

    async def fill() -> bool:
        async with small.appender(at("a"), wait=0) as appender:
            with suppress(OSError):
                while True:
                    await appender.write(b"x" * 30_000)
            return appender.is_lost

    assert await fill()
    assert fault.failed_on == small.root / at("a")
    assert not await fill()


@pytest.mark.parametrize("notes", [True, False], ids=["and is noted", "and cannot be noted"])
async def test_a_lost_upload_that_cannot_be_removed_is_unknown_all_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch, notes: bool
) -> None:
    repo = await another(root)
    upload = await begun(repo)
    path = str(root / layout.upload(repo.name, upload.id))
    with monkeypatch.context() as failing:
        FailingSync(failing, 1)
        refuse(failing, "unlink", lambda each: each.startswith(path), errno.EISDIR)
        refuse(failing, "rename", lambda each: each == path or not notes, errno.EROFS)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            await upload.commit_at_once(DIGEST, b"", None)
    assert (root / layout.upload_data(repo.name, upload.id)).stat().st_size == len(CONTENT)
    assert await is_unknown(repo, upload.id)
    if notes:
        assert await is_unknown(await another(root), upload.id)


def test_a_commit_of_which_any_sync_failed_is_no_success_when_it_is_repeated_unless_that_is_synced(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every n: the n-th sync fails, of a file or of a name, and the client sends its PUT once more."""
    failed: list[Path] = []
    for number in count(1):
        repo = repository(registry_on(FilesystemDriver(root)), f"app{number}")  # all its names are new
        content = b"content %d" % number
        digest = Digest.of(content)
        upload = repo.start_upload()
        asyncio.run(upload.append_at_once(content, None))
        with monkeypatch.context() as failing:
            fault = FailingSync(failing, number)
            with suppress(OSError):
                asyncio.run(upload.commit_at_once(digest, b"", None))
            if fault.failed_on is None:
                break
            failed.append(fault.failed_on)
            _assert_durable_if_visible(repo, digest, root, fault)
            with suppress(RegistryError):
                asyncio.run(repo.upload(upload.id).commit_at_once(digest, b"", None))
                assert fault.failed_on in fault.synced_since
            _assert_durable_if_visible(repo, digest, root, fault)
        push_blob(repo, content)
        assert repo.blob(digest).size == len(content)
    assert sum("_uploads" in path.parts and path.name == "data" for path in failed) == 1
    assert sum(path.parent.name == "tmp" for path in failed) == 1
    assert sum(path.is_dir() or not path.exists() for path in failed) > 8


def _assert_durable_if_visible(repo: Repository, digest: Digest, root: Path, fault: FailingSync) -> None:
    with suppress(BlobUnknown):
        repo.blob(digest)
        assert (
            fault.failed_on
            not in {
                (root / layout.blob_data(digest)).parent,
                (root / layout.layer_link(repo.name, digest)).parent,
            }
            - fault.synced_since
        )


def test_a_manifest_of_which_any_sync_failed_is_whole_after_the_next_put(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every n: a new tag is not visible with a name that is not synced, and the repeated PUT syncs it."""
    failures = 0
    for number in count(1):
        repo = repository(registry_on(FilesystemDriver(root)), f"app{number}")
        pushed = image(b"layer %d" % number)
        for blob in pushed.blobs:
            push_blob(repo, blob)
        with monkeypatch.context() as failing:
            fault = FailingSync(failing, number)
            with suppress(OSError):
                repo.put_manifest(Tag("new"), pushed.content, pushed.media_type)
            if fault.failed_on is None:
                break
            failures += 1
            assert tagged_images(repo) == {}, f"{fault.failed_on} is not synced"
            repo.put_manifest(Tag("new"), pushed.content, pushed.media_type)
            assert fault.failed_on.parent.name == "tmp" or fault.failed_on in fault.synced_since
        assert pull(repo, pushed)
    assert failures > 12


def test_a_tag_that_moves_and_cannot_be_synced_names_one_of_the_two_images(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = new_worker(root)
    old, new = image(b"old"), image(b"new")
    push_image(repo, old, "latest")
    for blob in new.blobs:
        push_blob(repo, blob)
    for number in count(1):
        with monkeypatch.context() as failing:
            fault = FailingSync(failing, number)
            with suppress(OSError):
                repo.put_manifest(Tag("latest"), new.content, new.media_type)
        assert tagged_images(repo)["latest"] in {old.digest, new.digest}
        if fault.failed_on is None:
            break
    assert number > 4
    assert tagged_images(repo) == {"latest": new.digest}
    assert pull(repo, new)
    assert pull(repo, old)


def test_a_directory_whose_sync_failed_is_made_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FilesystemDriver(root)
    with monkeypatch.context() as failing:
        FailingSync(failing, 2)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            driver.make_directory(at("a", "b"))
    assert not (root / at("a")).exists()
    driver.make_directory(at("a", "b"))
    assert (root / at("a", "b")).is_dir()
