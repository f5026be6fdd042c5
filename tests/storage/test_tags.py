"""Tags and deletion: what moves, what goes, and what stays."""

import threading
from collections.abc import Callable

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import ManifestUnknown
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.locking import repository_lock
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout
from tests.builders import Image, artifact, image, index
from tests.storage.pushing import files_of, pull, push_blob, push_image, registry_on, repository, tagged_images

OLD, NEW = image(b"old"), image(b"new")
ORDERED = ["0", "1.0", "1.0-rc", "A", "Z", "_", "a", "a-b", "a.b", "a_b", "ab", "latest", "v1", "v10", "v2"]


@pytest.fixture
def repo(registry: Registry) -> Repository:
    return repository(registry)


def digest_of(pushed: Image) -> Digest:
    return Digest(pushed.digest)


def test_tags_come_in_byte_order(repo: Repository) -> None:
    push_image(repo, OLD, *reversed(ORDERED))
    assert list(repo.tags()) == ORDERED == sorted(ORDERED, key=str.encode)


@pytest.mark.parametrize("after", ["", "a", "a-", "b", "v1", "v2", "zzz", "no tag/at all", ".."])
def test_tags_behind_a_name_come_whether_or_not_it_is_a_tag(repo: Repository, after: str) -> None:
    push_image(repo, OLD, *ORDERED)
    assert list(repo.tags(after)) == [tag for tag in ORDERED if tag > after]


def test_a_repository_that_does_not_exist_has_no_tags(repo: Repository) -> None:
    assert list(repo.tags()) == []


def test_a_tag_names_what_was_pushed_last(repo: Repository) -> None:
    push_image(repo, OLD, "v1")
    push_image(repo, NEW, "v1")
    assert repo.tagged(Tag("v1")) == NEW.digest
    assert pull(repo, OLD)


TORN = [b"", b"\0" * 71, b"sha256:", b"junk", b"\xff"]


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_tag_is_left_out_and_unknown_and_the_next_push_heals_it(
    repo: Repository, driver: Driver, torn: bytes
) -> None:
    push_image(repo, OLD, "a", "b", "c")
    driver.write(layout.tag_current_link(repo.name, Tag("b")), torn)
    assert list(repo.tags()) == ["a", "c"]
    with pytest.raises(ManifestUnknown):
        repo.manifest(Tag("b"))
    push_image(repo, OLD, "b")
    assert list(repo.tags()) == ["a", "b", "c"]


def test_entries_that_are_no_tags_are_left_out(repo: Repository, driver: Driver) -> None:
    push_image(repo, OLD, "v1")
    tags = layout.tags(repo.name)
    driver.make_directory(layout.child(layout.child(tags, "no-link"), "current"))
    driver.write(layout.child(layout.child(layout.child(tags, "-wrong"), "current"), "link"), OLD.digest.encode())
    driver.write(layout.child(tags, "file"), b"")
    assert list(repo.tags()) == ["v1"]


def test_a_deleted_tag_is_gone_and_nothing_else(repo: Repository) -> None:
    push_image(repo, OLD, "a", "b")
    repo.delete_tag(Tag("a"))
    assert tagged_images(repo) == {"b": OLD.digest}
    assert pull(repo, OLD)
    with pytest.raises(ManifestUnknown):
        repo.delete_tag(Tag("a"))


def test_a_deleted_tag_forgets_what_it_named_before(repo: Repository, driver: Driver) -> None:
    push_image(repo, OLD, "a")
    push_image(repo, NEW, "a")
    repo.delete_tag(Tag("a"))
    assert files_of(driver, layout.tags(repo.name)) == []


def test_a_deleted_manifest_takes_the_tags_that_name_it_and_no_other(repo: Repository) -> None:
    push_image(repo, OLD, "a", "b", "moved")
    push_image(repo, NEW, "c", "moved")
    repo.delete_manifest(digest_of(OLD))
    assert tagged_images(repo) == {"c": NEW.digest, "moved": NEW.digest}
    assert not pull(repo, OLD)
    assert pull(repo, NEW)
    with pytest.raises(ManifestUnknown):
        repo.delete_manifest(digest_of(OLD))


def test_a_manifest_is_deleted_in_its_repository_only(repo: Repository, registry: Registry) -> None:
    other = repository(registry, "other")
    for each in (repo, other):
        push_image(each, OLD, "v1")
    repo.delete_manifest(digest_of(OLD))
    assert pull(other, OLD)


@pytest.mark.parametrize("wanted", [digest_of(NEW), Digest.of(b"layer")])
def test_what_is_no_manifest_here_is_not_deleted(repo: Repository, wanted: Digest) -> None:
    push_image(repo, OLD, "v1")
    push_blob(repo, b"layer")
    with pytest.raises(ManifestUnknown):
        repo.delete_manifest(wanted)
    assert tagged_images(repo) == {"v1": OLD.digest}


def test_a_manifest_that_is_damaged_on_disk_can_be_deleted(repo: Repository, driver: Driver) -> None:
    push_image(repo, OLD, "v1")
    driver.write(layout.blob_data(digest_of(OLD)), b"damaged")
    repo.delete_manifest(digest_of(OLD))
    assert tagged_images(repo) == {}
    assert repo.is_empty()


def test_a_manifest_of_another_registry_with_a_malformed_subject_can_be_deleted(
    repo: Repository, driver: Driver
) -> None:
    foreign = image(b"old", subject={"mediaType": "x", "digest": "latest", "size": 1})
    driver.write(layout.blob_data(digest_of(foreign)), foreign.content)
    driver.write(layout.revision_link(repo.name, digest_of(foreign)), foreign.digest.encode())
    repo.delete_manifest(digest_of(foreign))
    assert not pull(repo, foreign)


def test_images_of_a_deleted_index_stay(repo: Repository) -> None:
    push_image(repo, index(OLD, NEW), "v1")
    repo.delete_manifest(digest_of(index(OLD, NEW)))
    assert pull(repo, OLD)
    assert pull(repo, NEW)


Change = Callable[[Repository], object]
CHANGES: dict[str, Change] = {
    "a push": lambda repo: repo.put_manifest(Tag("v1"), NEW.content, None),
    "the deletion of a manifest": lambda repo: repo.delete_manifest(digest_of(OLD)),
    "the deletion of a tag": lambda repo: repo.delete_tag(Tag("v1")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_it_waits_for_another_change_of_the_same_repository(driver: Driver, registry: Registry, change: Change) -> None:
    repo, elsewhere = repository(registry), repository(registry)
    push_image(repo, NEW)
    push_image(repo, OLD, "v1")
    done = threading.Event()

    def work() -> None:
        change(elsewhere)
        done.set()

    thread = threading.Thread(target=work)
    with repository_lock(driver, repo.name):
        thread.start()
        assert not done.wait(0.05)
        assert tagged_images(repo) == {"v1": OLD.digest}
    assert done.wait(10)
    thread.join()
    assert tagged_images(repo) != {"v1": OLD.digest}


def test_a_tag_that_moves_while_its_manifest_is_deleted_is_kept(driver: Driver) -> None:
    # Both want the tag at once; in whatever order they come, the pushed image is there in the end.
    for turn in range(10):
        first, second = (repository(registry_on(driver), f"race{turn}") for _ in range(2))
        push_image(first, OLD, "v1", "v2")
        push_image(first, NEW)
        barrier = threading.Barrier(2)

        def move(repo: Repository = second, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            repo.put_manifest(Tag("v1"), NEW.content, None)

        thread = threading.Thread(target=move)
        thread.start()
        barrier.wait()
        first.delete_manifest(digest_of(OLD))
        thread.join()
        assert tagged_images(first) == {"v1": NEW.digest}


Push = Callable[[Repository, Repository], object]
EACH_PUSH: dict[str, Push] = {
    "a blob": lambda repo, other: push_blob(repo, b"layer"),
    "a mounted blob": lambda repo, other: repo.mount_blob(push_blob(other, b"layer"), other),
    "an image": lambda repo, other: push_image(repo, OLD),
    "an image with a tag": lambda repo, other: push_image(repo, OLD, "v1"),
    "an index of nothing": lambda repo, other: push_image(repo, index()),
    "an artifact": lambda repo, other: push_image(repo, artifact()),
}


@pytest.mark.parametrize("push", EACH_PUSH.values(), ids=EACH_PUSH.keys())
def test_each_kind_of_push_makes_both_directories_by_which_the_cncf_registry_finds_a_repository(
    registry: Registry, driver: Driver, push: Push
) -> None:
    push(repository(registry), repository(registry, "other"))
    name = RepositoryName("team/app")
    assert not driver.stat(layout.layers(name)).is_file
    assert not driver.stat(layout.manifests(name)).is_file
