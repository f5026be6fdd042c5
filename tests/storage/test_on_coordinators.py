"""A repository on each coordinator: also where each section runs twice, and where one of its verbs fails."""

import errno
from collections.abc import Callable

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobUnknown, ManifestBlobUnknown, ManifestUnknown
from pyregistry.oci.names import Tag
from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams.coordinator import Coordinator
from tests.builders import artifact, image, index
from tests.storage.delegating import DelegatingCoordinator, RepeatingCoordinator
from tests.storage.epochs import EpochCoordinator
from tests.storage.pushing import pull, push_blob, push_image, registry_on, repository, tagged_images

IMAGE = image(b"layer one", b"layer two")
MULTI = index(IMAGE, image(b"arm64"))

COORDINATORS: dict[str, Callable[[Driver], Coordinator]] = {
    "locks": LocalCoordinator,
    "epochs": EpochCoordinator,
    "locks, all work runs twice": lambda driver: RepeatingCoordinator(LocalCoordinator(driver)),
    "epochs, all work runs twice": lambda driver: RepeatingCoordinator(EpochCoordinator(driver)),
}


@pytest.fixture(params=COORDINATORS)
def registry(request: pytest.FixtureRequest) -> Registry:
    """A registry on each coordinator."""
    driver = MemoryDriver()
    return registry_on(driver, coordinator=COORDINATORS[request.param](driver))


def test_images_indexes_and_referrers_are_pushed_tagged_and_pulled(registry: Registry) -> None:
    repo = repository(registry)
    signature = artifact(IMAGE)
    push_image(repo, MULTI, "multi", "latest")
    push_image(repo, IMAGE, "one")
    push_image(repo, signature)
    assert all(pull(repo, each) for each in (MULTI, IMAGE, signature))
    assert tagged_images(repo) == {"multi": MULTI.digest, "latest": MULTI.digest, "one": IMAGE.digest}


def test_a_blob_is_mounted_asked_for_and_forgotten(registry: Registry) -> None:
    source, target = repository(registry, "source"), repository(registry, "target")
    digest = push_blob(source, b"layer one")
    target.mount_blob(digest, source)
    assert target.blob_with_lease(digest).size == len(b"layer one")
    target.unlink_blob(digest)
    with pytest.raises(BlobUnknown):
        target.blob_with_lease(digest)
    with pytest.raises(BlobUnknown):
        source.mount_blob(Digest.of(b"never pushed"), target)


def test_a_manifest_is_deleted_with_its_tags_and_a_tag_alone(registry: Registry) -> None:
    repo = repository(registry)
    push_image(repo, IMAGE, "one", "two")
    push_image(repo, MULTI, "multi")
    repo.delete_tag(Tag("multi"))
    repo.delete_manifest(Digest(IMAGE.digest))
    assert tagged_images(repo) == {}
    with pytest.raises(ManifestUnknown):
        repo.delete_tag(Tag("one"))
    with pytest.raises(ManifestUnknown):
        repo.delete_manifest(Digest(IMAGE.digest))


def test_a_push_is_refused_with_all_that_is_missing(registry: Registry) -> None:
    repo = repository(registry)
    push_blob(repo, b"layer one")
    with pytest.raises(ManifestBlobUnknown) as refused:
        repo.put_manifest(Tag("latest"), IMAGE.content, IMAGE.media_type)
    assert set(refused.value.missing) == {Digest.of(blob) for blob in IMAGE.blobs if blob != b"layer one"}
    assert tagged_images(repo) == {}


@pytest.mark.parametrize("make", [LocalCoordinator, EpochCoordinator], ids=["locks", "epochs"])
@pytest.mark.parametrize("verb", ["run", "claim", "publish", "set_tags", "finish"])
def test_a_push_of_which_a_verb_fails_shows_nothing_that_is_not_whole(
    verb: str, make: Callable[[Driver], Coordinator]
) -> None:
    driver = MemoryDriver()
    failing = {verb}

    def fail(called: str) -> None:
        if called in failing:
            raise OSError(errno.ENOSPC, "no space left")

    repo = repository(registry_on(driver, coordinator=make(driver)))
    for blob in IMAGE.blobs:
        push_blob(repo, blob)
    broken = repository(registry_on(driver, coordinator=DelegatingCoordinator(make(driver), fail)))
    with pytest.raises(OSError, match="no space left"):
        broken.put_manifest(Tag("latest"), IMAGE.content, IMAGE.media_type)
    assert tagged_images(repo) in ({}, {"latest": IMAGE.digest})
    assert not tagged_images(repo) or pull(repo, IMAGE)
    failing.clear()
    broken.put_manifest(Tag("latest"), IMAGE.content, IMAGE.media_type)
    assert tagged_images(repo) == {"latest": IMAGE.digest}
    assert pull(repo, IMAGE)
