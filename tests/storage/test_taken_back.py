"""A name that cannot be synced is taken back: its bytes are kept, and no other request relies on it."""

import asyncio
import errno
import fcntl
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobUnknown, BlobUploadUnknown, ManifestBlobUnknown, ManifestUnknown, Unavailable
from pyregistry.oci.names import Tag
from pyregistry.storage.local.driver import NotDurable
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.local.uploads import LocalUpload
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.rules import Rules
from pyregistry.storage.seams.uploads import Upload
from pyregistry.threads.wait_budget import limit_waits
from tests.builders import image
from tests.fsck.trees import quarantine_if_damaged
from tests.storage.faults import FailingSync, SlowSync, refuse
from tests.storage.pushing import files_of, pull, push_blob, push_image, registry_on, repository, stream

IMAGE = image(b"layer")
LAYER = Digest.of(b"layer")
FAILED = os.strerror(errno.EIO)
WAIT = 60.0
"""Seconds after which a test gives up."""


@pytest.fixture
def repo(filesystem: FilesystemDriver) -> Repository:
    """A repository whose every HEAD renews its lease."""
    return repository(registry_on(filesystem, Rules(grace=0)))


def push(repo: Repository, content: bytes = b"layer") -> None:
    """An upload in the thread that asks."""
    upload = repo.start_upload()
    assert isinstance(upload, LocalUpload)
    upload._commit_now(Digest.of(content), content, None, None)


class Request:
    """Work of another client, which gives up soon where it has to wait for a lock."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self.error: Exception | None = None

    def __call__(self) -> None:
        """Do the work, to its end."""
        thread = threading.Thread(target=self._run)
        thread.start()
        thread.join(WAIT)
        assert not thread.is_alive()

    def _run(self) -> None:
        limit_waits(0.05)
        try:
            self._work()
        except Exception as error:
            self.error = error


def directory_of(root: Path, link: layout.StoragePath) -> Path:
    """The directory whose sync makes a link durable."""
    return (root / link).parent


def put(repo: Repository) -> None:
    """The manifest of an image whose blobs are there."""
    repo.put_manifest(Tag("v1"), IMAGE.content, IMAGE.media_type)


RELYING: dict[str, Callable[[Repository], object]] = {
    "the manifest": put,
    "a HEAD": lambda repo: repo.blob_with_lease(LAYER),
    "a mount": lambda repo: repo.mount_blob(LAYER, repo),
    "another upload": push,
}


@pytest.mark.parametrize("rely", RELYING.values(), ids=RELYING.keys())
def test_no_request_relies_on_a_layer_link_that_is_being_synced(
    root: Path, repo: Repository, monkeypatch: pytest.MonkeyPatch, rely: Callable[[Repository], object]
) -> None:
    for blob in IMAGE.blobs:
        if blob != b"layer":
            push_blob(repo, blob)
    other = Request(lambda: rely(repo))
    with monkeypatch.context() as failing:
        slow = SlowSync(failing, directory_of(root, layout.layer_link(repo.name, LAYER)), other)
        with pytest.raises(NotDurable, match=FAILED):
            push(repo)
        assert slow.is_begun
        with pytest.raises(BlobUnknown):
            repo.blob(LAYER)
        assert isinstance(other.error, Unavailable)
        with pytest.raises((BlobUnknown, ManifestBlobUnknown, NotDurable)):
            rely(repo)
        with pytest.raises(BlobUnknown):
            repo.blob(LAYER)
    push(repo)
    rely(repo)
    put(repo)
    assert pull(repo, IMAGE)


def test_no_head_is_answered_for_a_manifest_whose_revision_link_is_being_synced(
    root: Path, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for blob in IMAGE.blobs:
        push_blob(repo, blob)
    digest = Digest(IMAGE.digest)
    other = Request(lambda: repo.manifest_with_lease(digest))
    with monkeypatch.context() as failing:
        SlowSync(failing, directory_of(root, layout.revision_link(repo.name, digest)), other)
        with pytest.raises(NotDurable, match=FAILED):
            put(repo)
        assert isinstance(other.error, Unavailable)
        with pytest.raises(ManifestUnknown):
            repo.manifest_with_lease(digest)
    put(repo)
    assert pull(repo, IMAGE)


def test_a_mount_that_cannot_be_synced_takes_its_link_back_before_another_one_relies_on_it(
    root: Path, filesystem: FilesystemDriver, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = repository(registry_on(filesystem), "other")
    push_image(source, IMAGE, "v1")
    for blob in IMAGE.blobs:
        if blob != b"layer":
            repo.mount_blob(Digest.of(blob), source)
    other = Request(lambda: put(repo))
    with monkeypatch.context() as failing:
        SlowSync(failing, directory_of(root, layout.layer_link(repo.name, LAYER)), other)
        with pytest.raises(NotDurable, match=FAILED):
            repo.mount_blob(LAYER, source)
    assert isinstance(other.error, Unavailable)
    with pytest.raises(ManifestBlobUnknown):
        put(repo)


def test_a_link_that_is_being_synced_holds_up_no_other_repository_with_the_same_blob(
    root: Path, filesystem: FilesystemDriver, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base layer is mounted by many at once."""
    source, another = (repository(registry_on(filesystem, Rules(grace=0)), name) for name in ("source", "another"))
    push_image(source, IMAGE, "v1")

    def use_the_blob() -> None:
        source.blob_with_lease(LAYER)
        for blob in IMAGE.blobs:
            another.mount_blob(Digest.of(blob), source)
        put(another)

    other = Request(use_the_blob)
    with monkeypatch.context() as failing:
        slow = SlowSync(failing, directory_of(root, layout.layer_link(repo.name, LAYER)), other)
        with pytest.raises(NotDurable, match=FAILED):
            repo.mount_blob(LAYER, source)
    assert slow.is_begun
    assert other.error is None
    assert pull(another, IMAGE)


def test_a_file_that_came_while_its_directory_was_synced_is_not_taken_back_for_one_that_replaces_it(
    root: Path, filesystem: FilesystemDriver, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory is new, but another writer has put its file there before the directory is synced."""
    link = layout.layer_link(repo.name, LAYER)
    directory = directory_of(root, link)
    fsync = os.fsync
    others: list[threading.Thread] = []

    def sync(handle: int) -> None:
        fsync(handle)
        if not others and directory.exists():
            others.append(threading.Thread(target=filesystem.write, args=(link, LAYER.encode())))
            others[0].start()
            others[0].join(WAIT)
        elif threading.current_thread() not in others and Path(f"/proc/self/fd/{handle}").readlink() == directory:
            raise OSError(errno.EIO, FAILED)

    with monkeypatch.context() as failing:
        failing.setattr(os, "fsync", sync)
        with pytest.raises(NotDurable, match=FAILED):
            filesystem.write(link, LAYER.encode())
    assert filesystem.read(link) == LAYER.encode()


def test_a_damaged_blob_whose_quarantine_cannot_be_synced_keeps_its_bytes(
    root: Path, filesystem: FilesystemDriver, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every n: the n-th sync fails, and the only copy is where it was or in the quarantine."""
    for number in count(1):
        content = b"content %d" % number
        digest = push_blob(repo, content)
        path = root / layout.blob_data(digest)
        path.write_bytes(b"damaged")
        with monkeypatch.context() as failing:
            fault = FailingSync(failing, number)
            with suppress(OSError):
                assert quarantine_if_damaged(filesystem, digest)
        if fault.failed_on is None:
            break
        assert path.read_bytes() == b"damaged"
        assert quarantine_if_damaged(filesystem, digest)
        (found,) = root.rglob(f"quarantine/**/*{digest.encoded}*")
        assert found.read_bytes() == b"damaged"
        assert not path.exists()
    assert number > 1


def test_an_upload_whose_blob_cannot_be_synced_leaves_nothing(
    root: Path, filesystem: FilesystemDriver, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as failing:
        slow = SlowSync(failing, directory_of(root, layout.blob_data(LAYER)), lambda: None)
        with pytest.raises(NotDurable, match=FAILED):
            push(repo)
    assert slow.is_begun
    assert files_of(filesystem) == []
    push(repo)
    assert repo.blob(LAYER).size == len(b"layer")


Ending = Callable[[Upload], Awaitable[object]]
ENDINGS: dict[str, tuple[Ending, int]] = {
    "a large PATCH": (lambda upload: upload.append(stream(b"more")), 1),
    "a large PUT": (lambda upload: upload.commit(LAYER, stream()), 1),
    "a small PATCH at once": (lambda upload: upload.append_at_once(b"more", None), 2),
    "a small PUT at once": (lambda upload: upload.commit_at_once(LAYER, b"", None), 2),
}
"""Ways to end an upload, and the tries for its file that fail before each waits for it."""


@pytest.mark.parametrize(("end", "tries"), ENDINGS.values(), ids=ENDINGS.keys())
@pytest.mark.parametrize("notes", [True, False], ids=["noted", "remembered"])
async def test_a_request_that_waited_for_an_upload_that_was_lost_meanwhile_finds_none(
    root: Path, monkeypatch: pytest.MonkeyPatch, end: Ending, tries: int, notes: bool
) -> None:
    repo = repository(registry_on(await asyncio.to_thread(FilesystemDriver, root)))
    upload = await asyncio.to_thread(repo.start_upload)
    await upload.append(stream(b"layer"))
    other = repo.upload(upload.id)
    begun, refused = threading.Event(), threading.Semaphore(0)
    flock = fcntl.flock

    def counting(handle: int, operation: int) -> None:
        try:
            flock(handle, operation)
        except BlockingIOError:
            refused.release()
            raise

    def let_the_other_come() -> None:
        begun.set()
        for _ in range(tries):
            assert refused.acquire(timeout=WAIT)

    with monkeypatch.context() as failing:
        SlowSync(failing, root / layout.upload_data(repo.name, upload.id), let_the_other_come)
        path = str(root / layout.upload(repo.name, upload.id))
        refuse(failing, "unlink", lambda each: each.startswith(path), errno.EISDIR)
        refuse(failing, "rename", lambda each: each == path or not notes, errno.EROFS)
        failing.setattr(fcntl, "flock", counting)
        first = asyncio.create_task(upload.commit_at_once(LAYER, b"", None))
        assert await asyncio.to_thread(begun.wait, WAIT)
        await asyncio.to_thread(other.check_owner, None)
        second = asyncio.ensure_future(end(other))
        with pytest.raises(OSError, match=FAILED):
            await first
    with pytest.raises(BlobUploadUnknown):
        await second
    with pytest.raises(BlobUnknown):
        await asyncio.to_thread(repo.blob, LAYER)
