"""The memory of a worker is never ahead of the disk."""

import os
import shutil
import time
from pathlib import Path

import pytest

from pyregistry.common.bounded_cache import BoundedCache
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import ManifestUnknown
from pyregistry.oci.manifest import StoredManifest
from pyregistry.oci.names import Tag
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.repositories import cache as cache_module
from pyregistry.storage.repositories.cache import BlobCache, ManifestCache
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from tests.builders import image
from tests.storage.counting import AskedDriver
from tests.storage.pushing import push_blob, push_image, registry_on, repository

NAME = "team/app"
V1 = Tag("v1")
OLD, NEW = image(b"old"), image(b"new")
MINUTE = 60
YOUNG_NS = 5 * MINUTE * 10**9


def age(root: Path, path: StoragePath, seconds: float) -> None:
    """Let a file look as if it was written that long ago."""
    when = time.time() - seconds
    os.utime(root / path, (when, when))


@pytest.fixture
def repo(filesystem: FilesystemDriver, root: Path) -> Repository:
    """`v1` names OLD since a minute, as do all links."""
    repo = repository(registry_on(filesystem), NAME)
    push_image(repo, OLD, V1)
    for link in (root / layout.REPOSITORIES).rglob("link"):
        age(root, StoragePath(str(link.relative_to(root))), MINUTE)
    return repo


@pytest.fixture
def cache(filesystem: FilesystemDriver) -> ManifestCache:
    """Remembers nothing yet."""
    return ManifestCache(filesystem, young_ns=YOUNG_NS)


def serve(cache: ManifestCache, repo: Repository, reference: Tag | Digest) -> StoredManifest:
    """Do the steps of a request that finds nothing in memory."""
    stored, known = cache.load(repo, reference, leased=False)
    cache.store(repo.name, reference, stored, known)
    return stored


@pytest.mark.parametrize("reference", [V1, Digest(OLD.digest)])
def test_what_was_served_is_found_again(cache: ManifestCache, repo: Repository, reference: Tag | Digest) -> None:
    assert cache.get(NAME, reference, leased=False) is None
    serve(cache, repo, reference)
    for leased in (False, True):
        found = cache.get(NAME, reference, leased=leased)
        assert found is not None
        assert (found.digest, found.content) == (OLD.digest, OLD.content)


def test_without_entries_nothing_is_found_and_nothing_is_asked(root: Path, repo: Repository) -> None:
    driver = AskedDriver(root)
    manifests = ManifestCache(driver, young_ns=YOUNG_NS, entries=0)
    assert serve(manifests, repo, V1).content == OLD.content
    blobs = BlobCache(driver, young_ns=YOUNG_NS, entries=0)
    digest = Digest.of(b"old")
    blobs.store(NAME, digest, blobs.load(repo, digest)[1])
    driver.asked.clear()
    assert manifests.get(NAME, V1, leased=False) is None
    assert blobs.get(NAME, digest) is None
    assert driver.asked == []


def test_a_tag_that_moved_is_not_found(cache: ManifestCache, repo: Repository) -> None:
    serve(cache, repo, V1)
    push_image(repo, NEW, V1)
    assert cache.get(NAME, V1, leased=False) is None
    assert serve(cache, repo, V1).digest == NEW.digest


def test_a_tag_written_in_place_is_not_found(cache: ManifestCache, repo: Repository, root: Path) -> None:
    # As the CNCF registry before 3.1 does: the inode and the size stay.
    serve(cache, repo, V1)
    push_image(repo, NEW)
    (root / layout.tag_current_link(repo.name, V1)).write_text(NEW.digest)
    assert cache.get(NAME, V1, leased=False) is None
    assert serve(cache, repo, V1).digest == NEW.digest


def test_a_tag_read_within_a_second_of_its_writing_is_not_trusted(cache: ManifestCache, repo: Repository) -> None:
    push_image(repo, NEW, V1)
    assert serve(cache, repo, V1).digest == NEW.digest
    assert cache.get(NAME, V1, leased=False) is None


def test_a_link_of_the_future_is_not_trusted(cache: ManifestCache, repo: Repository, root: Path) -> None:
    age(root, layout.tag_current_link(repo.name, V1), -MINUTE)
    serve(cache, repo, V1)
    assert cache.get(NAME, V1, leased=False) is None


@pytest.mark.parametrize("reference", [V1, Digest(OLD.digest)])
@pytest.mark.parametrize("gone", ["repository", "revision"])
def test_what_an_operator_removes_is_not_found(
    cache: ManifestCache, repo: Repository, root: Path, reference: Tag | Digest, gone: str
) -> None:
    serve(cache, repo, reference)
    removed = layout.repository(repo.name) if gone == "repository" else layout.revision(repo.name, Digest(OLD.digest))
    shutil.rmtree(root / removed)
    assert cache.get(NAME, reference, leased=False) is None
    assert cache.get(NAME, reference, leased=True) is None
    with pytest.raises(ManifestUnknown):
        cache.load(repo, reference, leased=False)


def test_a_deleted_tag_is_not_found_though_its_manifest_is(cache: ManifestCache, repo: Repository) -> None:
    serve(cache, repo, V1)
    serve(cache, repo, Digest(OLD.digest))
    repo.delete_tag(V1)
    assert cache.get(NAME, V1, leased=False) is None
    assert cache.get(NAME, OLD.digest, leased=False) is not None


@pytest.mark.parametrize("seconds", [10 * MINUTE, -MINUTE])
def test_a_head_by_digest_is_not_answered_without_a_young_lease(
    cache: ManifestCache, repo: Repository, root: Path, seconds: float
) -> None:
    digest = Digest(OLD.digest)
    serve(cache, repo, digest)
    age(root, layout.revision_link(repo.name, digest), seconds)
    assert cache.get(NAME, digest, leased=True) is None
    assert cache.get(NAME, digest, leased=False) is not None


def test_a_head_by_digest_that_is_read_gets_a_lease(cache: ManifestCache, repo: Repository, root: Path) -> None:
    digest = Digest(OLD.digest)
    age(root, layout.revision_link(repo.name, digest), 10 * MINUTE)
    for leased in (False, True):
        stored, known = cache.load(repo, digest, leased=leased)
        cache.store(NAME, digest, stored, known)
        assert (cache.get(NAME, digest, leased=True) is not None) == leased


def test_a_head_by_digest_is_not_answered_without_the_bytes(cache: ManifestCache, repo: Repository, root: Path) -> None:
    digest = Digest(OLD.digest)
    serve(cache, repo, digest)
    (root / layout.blob_data(digest)).unlink()
    assert cache.get(NAME, digest, leased=True) is None


def test_a_blob_that_was_asked_for_is_found_again(filesystem: FilesystemDriver, repo: Repository) -> None:
    cache, digest = BlobCache(filesystem, young_ns=YOUNG_NS), Digest.of(b"old")
    assert cache.get(NAME, digest) is None
    source, known = cache.load(repo, digest)
    cache.store(NAME, digest, known)
    assert cache.get(NAME, digest) == source.size == 3
    assert cache.get("another", digest) is None


@pytest.mark.parametrize("what", ["no link", "no bytes", "no byte", "old lease", "another link"])
def test_a_blob_is_not_found(filesystem: FilesystemDriver, repo: Repository, root: Path, what: str) -> None:
    cache, digest = BlobCache(filesystem, young_ns=YOUNG_NS), Digest.of(b"old")
    cache.store(NAME, digest, cache.load(repo, digest)[1])
    link, data = layout.layer_link(repo.name, digest), root / layout.blob_data(digest)
    match what:
        case "no link":
            repo.unlink_blob(digest)
        case "no bytes":
            data.unlink()
        case "no byte":
            data.write_bytes(b"")
        case "old lease":
            age(root, link, 10 * MINUTE)
            cache.store(NAME, digest, cache.load(repo, digest)[1])
        case _:
            (root / link).write_text(Digest.of(b"other"))
    assert cache.get(NAME, digest) is None


def test_a_blob_whose_link_is_new_is_not_remembered(filesystem: FilesystemDriver, repo: Repository) -> None:
    digest = push_blob(repo, b"just pushed")
    assert BlobCache(filesystem, young_ns=YOUNG_NS).load(repo, digest)[1] is None


def test_only_what_was_used_last_is_kept() -> None:
    kept = BoundedCache[str, bytes](limit=10, weigh=len, by_use=True)
    kept.put("a", b"aaaa")
    kept.put("b", b"bbbb")
    kept.put("a", b"aaa")
    assert kept.get("b") == b"bbbb"
    kept.put("c", b"cccc")
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (None, b"bbbb", b"cccc")
    kept.put("d", b"d" * 11)
    assert [kept.get(key) for key in "abcd"] == [None] * 4


def test_a_manifest_that_would_push_out_the_others_is_not_kept(
    cache: ManifestCache, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "MAX_CONTENT_BYTES", 8 * len(OLD.content) - 1)
    assert serve(cache, repo, V1).content == OLD.content
    assert cache.get(NAME, V1, leased=False) is None
