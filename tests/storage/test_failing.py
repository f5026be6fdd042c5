"""For every n: a push or deletion whose n-th storage call fails shows nothing incomplete, and the next one works."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count, takewhile

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobUnknown, BlobUploadUnknown, RegistryError
from pyregistry.oci.names import Tag, UploadId
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.repositories.repository import Repository
from tests.builders import Image, artifact, image, index
from tests.storage.failing import FailingDriver
from tests.storage.pushing import pull, push_blob, push_image, registry_on, repository, stream, tagged_images

OLD = image(b"old")
NEW = image(b"new")
IMAGES = {"an image": NEW, "an index": index(NEW, image(b"other")), "a referrer": artifact(OLD)}
BY_DIGEST = {image.digest: image for image in (OLD, NEW, *IMAGES.values())}


@pytest.fixture(params=[False, True], ids=["before its work", "after its work"])
def after(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def each_failure(
    work: Callable[[Repository], object], prepare: Callable[[Repository], object], after: bool
) -> Iterator[Repository]:
    """The repository as every possible failure of `work` leaves it; at the end `work` has no call left that fails."""

    def fail_at(number: int) -> tuple[bool, Repository]:
        driver: Driver = MemoryDriver()
        repo = repository(registry_on(driver))
        prepare(repo)
        failing = FailingDriver(driver, number, after=after)
        with suppress(OSError):
            work(repository(registry_on(failing)))
        return failing.failed, repo

    return (repo for _, repo in takewhile(lambda outcome: outcome[0], (fail_at(number) for number in count(1))))


@pytest.mark.parametrize("pushed", IMAGES.values(), ids=IMAGES.keys())
def test_a_failed_push_leaves_no_tag_that_names_something_incomplete(pushed: Image, after: bool) -> None:
    def prepare(repo: Repository) -> None:
        push_image(repo, OLD, "latest")
        for blob in pushed.blobs:
            push_blob(repo, blob)
        for child in pushed.children:
            push_image(repo, child)

    def put(repo: Repository) -> None:
        repo.put_manifest(Digest(pushed.digest), pushed.content, pushed.media_type, [Tag("latest"), Tag("v2")])

    failures = 0
    for repo in each_failure(put, prepare, after):
        failures += 1
        for tag, digest in tagged_images(repo).items():
            assert digest in {OLD.digest, pushed.digest}
            assert pull(repo, BY_DIGEST[digest]), f"{tag} names something incomplete"
        assert "latest" in tagged_images(repo)
        assert pull(repo, OLD)
        put(repo)
        assert tagged_images(repo) == {"latest": pushed.digest, "v2": pushed.digest}
        assert pull(repo, pushed)
    assert failures > 8


def test_a_failed_commit_leaves_no_blob_that_is_wrong_and_the_next_push_works(after: bool) -> None:
    digest = Digest.of(b"content")

    def push(repo: Repository) -> None:
        push_blob(repo, b"content")

    failures = 0
    for repo in each_failure(push, lambda repo: None, after):
        failures += 1
        with suppress(BlobUnknown):
            assert repo.blob(digest).size == 7
        push(repo)
        assert repo.blob(digest).size == 7
    assert failures > 8


def test_a_failed_commit_can_be_repeated_or_its_upload_is_gone(after: bool) -> None:
    async def append(repo: Repository) -> UploadId:
        upload = await asyncio.to_thread(repo.start_upload)
        await upload.append(stream(b"content"))
        return upload.id

    failures = 0
    for number in count(1):
        driver = MemoryDriver()
        repo = repository(registry_on(driver))
        upload_id = asyncio.run(append(repo))
        failing = FailingDriver(driver, number, after=after)
        upload = repository(registry_on(failing)).upload(upload_id)
        with suppress(OSError):
            asyncio.run(upload.commit(Digest.of(b"content"), stream()))
        if not failing.failed:
            break
        failures += 1
        again = repo.upload(upload_id)
        try:
            asyncio.run(again.commit(Digest.of(b"content"), stream(b"content" * (again.offset() == 0))))
        except BlobUploadUnknown:  # which tells the client to begin again
            push_blob(repo, b"content")
        assert repo.blob(Digest.of(b"content")).size == 7
    assert failures > 4


@pytest.mark.parametrize("by_digest", [True, False], ids=["a manifest", "a tag"])
def test_a_failed_deletion_leaves_no_tag_that_names_nothing_and_can_be_repeated(by_digest: bool, after: bool) -> None:
    def prepare(repo: Repository) -> None:
        push_image(repo, OLD, "a", "b")
        push_image(repo, artifact(OLD), "c")

    def delete(repo: Repository) -> None:
        if by_digest:
            repo.delete_manifest(Digest(OLD.digest))
        else:
            repo.delete_tag(Tag("a"))

    failures = 0
    for repo in each_failure(delete, prepare, after):
        failures += 1
        for digest in tagged_images(repo).values():
            assert pull(repo, BY_DIGEST[digest])
        with suppress(RegistryError):  # it was done although it failed
            delete(repo)
        assert tagged_images(repo).keys() == ({"c"} if by_digest else {"b", "c"})
        assert pull(repo, OLD) != by_digest
    assert failures > 2
