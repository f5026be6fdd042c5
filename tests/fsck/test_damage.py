"""Every kind of damage: it is found, it is repaired, the second run finds nothing, and nothing else is touched."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyregistry.fsck.findings import KINDS, Kind
from pyregistry.fsck.hashing import Checked
from pyregistry.fsck.scope import CheckScope
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import Tag
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import write_link
from pyregistry.storage.seams.rules import Rules
from pyregistry.storage.seams.sources import ContentId
from tests.builders import image, index
from tests.fsck import trees
from tests.fsck.damage import DAMAGE, UPLOAD, Case, revision, under
from tests.fsck.trees import (
    APP,
    ARM,
    LATEST,
    MULTI,
    NEW,
    OLD,
    SBOM,
    blob_path,
    check,
    content_of,
    current,
    fill,
    findings,
    kinds,
    repair_all,
)
from tests.storage.counting import CountingDriver
from tests.storage.pushing import pull, push_image, registry_on, repository


@pytest.mark.parametrize("case", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_found_mended_and_then_gone(driver: Driver, registry: Registry, case: Case) -> None:
    fill(registry)
    before = content_of(driver)
    case.damage(driver)
    damaged = content_of(driver)
    assert kinds(driver) == sorted(case.found)
    assert content_of(driver) == damaged, "a check without --repair changed something"
    done = repair_all(driver)
    assert {kind for kind, repaired in done if repaired is None} <= set(case.left)
    assert kinds(driver) == sorted(case.left)
    after = content_of(driver)
    assert {path: after.get(path) for path in before | after if not any(each in path for each in case.changed)} == {
        path: before.get(path) for path in before | after if not any(each in path for each in case.changed)
    }


class WithoutRepositoryLocks(FilesystemDriver):
    """A disk with no inode for the lock of a repository; `held` are the locks at the last read of a path."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._locked: list[str] = []
        self.held: dict[StoragePath, list[str]] = {}

    @contextmanager
    def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
        if name.startswith("repo-"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with super().lock(name, exclusive=exclusive, wait=wait):
            self._locked.append(name)
            try:
                yield
            finally:
                self._locked.remove(name)

    def read(self, path: StoragePath, limit: int | None = None, *, begin: int = 0) -> bytes:
        self.held[path] = list(self._locked)
        return super().read(path, limit, begin=begin)


def test_without_a_repository_s_lock_a_finding_is_still_checked_again_in_a_quiet_moment(tmp_path: Path) -> None:
    driver = WithoutRepositoryLocks(tmp_path)
    fill(registry_on(FilesystemDriver(tmp_path)))
    link = layout.tag_current_link(APP, LATEST)
    write_link(driver, link, Digest.of(b"nowhere"))
    assert kinds(driver)
    assert "commit" in driver.held[link]


def test_every_kind_that_needs_no_file_system_has_a_case() -> None:
    found = {kind for case in DAMAGE.values() for kind in case.found}
    elsewhere = {
        "wrong-size",
        "unknown-manifest",
        "unreadable-blob",
        "no-file",
        "no-start",
        "empty-upload",
        "not-usable",
        "unreadable",
        "no-permission",
    }
    assert found | elsewhere == {str(kind) for kind in Kind}
    assert set(KINDS) == set(Kind)


def test_a_sound_tree_has_no_findings(driver: Driver, registry: Registry) -> None:
    fill(registry)
    assert findings(driver) == []
    assert findings(driver, leave_young=-1.0) == []


def test_what_the_api_deletes_leaves_no_findings(driver: Driver, registry: Registry) -> None:
    fill(registry)
    app = repository(registry, APP)
    app.delete_tag(Tag("v1"))
    app.delete_manifest(Digest(OLD.digest))
    app.delete_manifest(Digest(SBOM.digest))
    app.delete_manifest(Digest(MULTI.digest))
    app.unlink_blob(Digest.of(b"without a manifest"))
    assert findings(driver) == []


def test_a_torn_tag_is_set_to_what_it_named_last(driver: Driver, registry: Registry) -> None:
    fill(registry)
    driver.write(current(), b"")
    driver.write(layout.tag_index_link(APP, LATEST, Digest(OLD.digest)), b"")  # written now, but not the newest
    driver.set_mtime(layout.tag_index_link(APP, LATEST, Digest(OLD.digest)), 1)
    done = dict(repair_all(driver))
    assert done["torn-tag"] == f"set to {NEW.digest}, the newest by the times of its links"
    assert repository(registry, APP).tagged(LATEST) == NEW.digest
    assert driver.read(layout.tag_index_link(APP, LATEST, Digest(OLD.digest))) == OLD.digest.encode()


def test_a_torn_tag_skips_what_was_deleted_since(driver: Driver, registry: Registry) -> None:
    fill(registry)
    app = repository(registry, APP)
    driver.delete(layout.revision(APP, Digest(NEW.digest)))
    driver.write(current(), b"")
    repair_all(driver)
    assert app.tagged(LATEST) == OLD.digest


def test_the_images_that_are_lost_are_named_by_their_tags_also_through_an_index(
    driver: Driver, registry: Registry
) -> None:
    fill(registry)
    driver.delete(layout.blob(Digest.of(b"new")))
    driver.delete(layout.blob(Digest.of(b"old")))
    lost = {image for finding in findings(driver) for image in finding.lost}
    assert lost == {"team/app:latest", "team/app:v1", "team/app:multi", f"team/app@{OLD.digest}"}


@pytest.mark.parametrize("what", ["layer", "manifest"])
def test_a_push_heals_what_was_quarantined(driver: Driver, registry: Registry, what: str) -> None:
    fill(registry)
    driver.write(blob_path(b"new") if what == "layer" else blob_path(NEW.content), b"not this")
    repair_all(driver)
    assert not pull_or_none(registry)
    assert len(list(driver.children(layout.quarantine(layout.PRIVATE)))) == 1
    app = repository(registry, APP)
    push_image(app, NEW, "latest", "v1")
    assert pull(app, NEW)
    assert findings(driver) == []


def pull_or_none(registry: Registry) -> bool:
    try:
        return pull(repository(registry, APP), NEW)
    except Exception:  # whatever a pull of a broken image says
        return False


def test_a_manifest_with_a_wrong_size_is_not_blamed_on_the_blob(driver: Driver, registry: Registry) -> None:
    app = repository(registry, APP)
    push_image(app, image(b"layer"), "latest")
    wrong = image(b"layer").content.replace(b'"size": 5', b'"size": 6')
    digest = Digest.of(wrong)
    driver.write(layout.blob_data(digest), wrong)
    write_link(driver, layout.revision_link(APP, digest), digest)
    [found] = findings(driver)
    assert found.sentence.endswith("has 5 bytes instead of 6; the blob is right")
    assert (found.is_damage, found.lost) == (False, ())
    assert repair_all(driver) == [("wrong-size", None)]
    assert driver.read(blob_path(b"layer")) == b"layer"


@pytest.mark.parametrize("size", ["0", "null", "-5", "6"])
def test_a_manifest_with_a_wrong_size_of_a_damaged_blob_tells_of_the_damage(
    driver: Driver, registry: Registry, size: str
) -> None:
    app = repository(registry, APP)
    push_image(app, image(b"layer"), "latest")
    content = image(b"layer").content.replace(b'"size": 5', f'"size": {size}'.encode())
    app.delete_manifest(Digest(image(b"layer").digest))
    put_index(driver, content)
    driver.write(blob_path(b"layer"), b"LAYER")
    [found] = findings(driver)
    assert (found.kind, found.lost) == (Kind.CORRUPT_BLOB, (f"{APP}@{Digest.of(content)}",))
    driver.write(blob_path(b"layer"), b"layer")
    assert kinds(driver) == ["wrong-size"]


def test_a_blob_is_read_once_for_all_manifests_that_say_another_size(root: Path) -> None:
    driver = CountingDriver(root)
    push_image(repository(registry_on(driver), APP), image(b"layer"), "latest")
    for size in (6, 7, 8):
        document = json.loads(image(b"layer").content)
        document["layers"] = [document["layers"][0] | {"size": size}] * 50
        put_index(driver, json.dumps(document).encode())
    read: list[Digest] = []
    found = [finding.kind for finding in check(driver, CheckScope(Rules(), hashed=_Noting(read)))]
    assert found == [Kind.WRONG_SIZE] * 3
    assert read == [Digest.of(b"layer")]


class _Noting(dict[tuple[Digest, ContentId | None], Checked]):
    """Notes the blobs that are read for their digests."""

    def __init__(self, read: list[Digest]) -> None:
        super().__init__()
        self._read = read

    def __setitem__(self, key: tuple[Digest, ContentId | None], checked: Checked) -> None:
        self._read.append(key[0])
        super().__setitem__(key, checked)


def test_a_platform_with_lists_in_it_is_no_finding(driver: Driver, registry: Registry) -> None:
    push_image(repository(registry, APP), NEW, "latest")
    platform = {"os": "windows", "variant": ["x"], "os.features": ["win32k"], "features": [], "os.version": {"a": []}}
    document = json.loads(index(NEW).content)
    document["manifests"] = [NEW.descriptor(platform=platform), NEW.descriptor(platform=platform | {"x": [1]})]
    put_index(driver, json.dumps(document).encode())
    assert findings(driver) == []


def put_index(driver: Driver, content: bytes) -> None:
    """As another registry would, which does not look at what it refers to."""
    digest = Digest.of(content)
    driver.write(layout.blob_data(digest), content)
    write_link(driver, layout.revision_link(APP, digest), digest)


def test_an_index_with_a_wrong_size_of_a_manifest_is_found(driver: Driver, registry: Registry) -> None:
    push_image(repository(registry, APP), NEW, "latest")
    size = f'"size": {len(NEW.content)}'.encode()
    put_index(driver, index(NEW).content.replace(size, f'"size": {len(NEW.content) + 7}'.encode()))
    [found] = findings(driver)
    assert (found.kind, found.digest) == (Kind.WRONG_SIZE, NEW.digest)
    assert found.sentence.endswith(f"has {len(NEW.content)} bytes instead of {len(NEW.content) + 7}; the blob is right")


def test_a_manifest_without_bytes_is_missing_in_its_index(driver: Driver, registry: Registry) -> None:
    fill(registry)
    driver.write(blob_path(ARM.content), b"")
    lost = {finding.kind: finding.lost for finding in findings(driver)}
    assert lost[Kind.MISSING_CHILD] == ("team/app:multi",)


def test_a_check_reads_each_manifest_once(root: Path) -> None:
    driver = CountingDriver(root)
    app = repository(registry_on(driver), APP)
    push_image(app, OLD, "latest")
    push_image(app, MULTI, "multi")
    driver.reads.clear()
    assert findings(driver) == []
    assert [driver.reads[blob_path(pushed.content)] for pushed in (OLD, NEW, ARM, MULTI)] == [1, 1, 1, 1]


def test_a_document_of_another_time_is_told_and_left(driver: Driver, registry: Registry) -> None:
    push_image(repository(registry, APP), NEW, "latest")
    schema1 = b'{"schemaVersion": 1, "name": "team/app"}'
    driver.write(blob_path(schema1), schema1)
    write_link(driver, revision(schema1), Digest.of(schema1))
    assert repair_all(driver) == [("unknown-manifest", None)]


def test_an_upload_without_a_start_gets_that_of_its_last_byte(driver: Driver, registry: Registry) -> None:
    upload = repository(registry, APP).start_upload()
    driver.delete(layout.upload_started_at(APP, upload.id))
    assert findings(driver) == []  # it may be one that is just beginning
    driver.set_mtime(layout.upload_data(APP, upload.id), 1_700_000_000 * 10**9)
    assert repair_all(driver, leave_young=-1.0) == [("no-start", "written")]
    assert driver.read(layout.upload_started_at(APP, upload.id)) == b"2023-11-14T22:13:20Z"
    assert kinds(driver, leave_young=-1.0) == []


def test_an_empty_upload_is_removed(driver: Driver, registry: Registry) -> None:
    fill(registry)
    path = under(layout.uploads(APP), UPLOAD)
    driver.make_directory(path)
    assert repair_all(driver, leave_young=-1.0) == [("empty-upload", "removed")]
    assert UPLOAD not in list(driver.children(layout.uploads(APP)))


def test_sparse_images_are_sound_where_they_are_allowed(driver: Driver) -> None:
    rules = Rules(require_blobs=False, required_platforms=frozenset())
    registry = registry_on(driver, rules)
    app = repository(registry, APP)
    sparse = index(image(b"elsewhere"))
    app.put_manifest(Tag("sparse"), sparse.content, sparse.media_type)
    lonely = image(b"elsewhere")
    app.put_manifest(Tag("lonely"), lonely.content, lonely.media_type)
    assert list(check(driver, CheckScope(rules))) == []
    assert trees.kinds(driver) == ["missing-blob"]
