"""Each kind of damage at each kind of reference: when the one damaged file is back, the image can be pulled whole."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, ItemsView, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyregistry.gc.batches import BATCH
from pyregistry.gc.documents import list_links
from pyregistry.gc.types import MarkFailed, Options, Plan, ProgressObserver, Report
from pyregistry.gc.unreadable import Unreadable
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import PathNotFound
from pyregistry.storage.seams.rules import Rules
from tests.builders import Image, artifact, image, index
from tests.gc.collecting import collect, gc, has_blob, looking, remove_tag
from tests.storage.pushing import pull, push_blob, push_image, registry_on, repository

# Idle threads of other tests' event loops; a command has none when it begins.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

APP = RepositoryName("team/app")
TAGGED, UNTAGGED, OTHER = image(b"tagged"), image(b"untagged"), image(b"other")
CHILD, SIBLING, DEEP = image(b"child"), image(b"sibling"), image(b"deep")
INNER = index(DEEP)
MULTI = index(CHILD, SIBLING, INNER)
SIGNATURE = artifact(TAGGED)
SIGNATURE_OF_SIGNATURE = artifact(SIGNATURE, "application/vnd.test.second")
SPARSE = index(OTHER, image(b"never pushed"))
WIDE = image(b"wide", config=b'{"wide": 1}', algorithm="sha512")
ALIASED = image(b"aliased", config=b'{"aliased": 1}', algorithm="sha512")
MOUNTED = image(b"mounted", config=b'{"mounted": 1}', algorithm="sha512")


def fill(driver: FilesystemDriver) -> None:
    """One repository with every kind of reference."""
    repo = repository(registry_on(driver, Rules(required_platforms=frozenset())), APP)
    push_image(repo, TAGGED, "tagged")
    push_image(repo, UNTAGGED)
    push_image(repo, MULTI, "multi")
    push_image(repo, SIGNATURE)
    push_image(repo, SIGNATURE_OF_SIGNATURE)
    push_image(repo, OTHER, "other")
    repo.put_manifest(Tag("sparse"), SPARSE.content, SPARSE.media_type)
    push_image(repo, WIDE, "wide")
    for pushed in (ALIASED, MOUNTED):
        for content in pushed.blobs:
            driver.write(layout.blob_data(Digest.of(content)), content)
            driver.write(layout.layer_link(APP, Digest.of(content, "sha512")), Digest.of(content).encode())
            if pushed is ALIASED:  # as an upload to the CNCF registry does; a mount of ours makes the other link alone
                driver.write(layout.layer_link(APP, Digest.of(content)), Digest.of(content).encode())
        repo.put_manifest(
            Digest(pushed.digest),
            pushed.content,
            pushed.media_type,
            [Tag("mounted" if pushed is MOUNTED else "aliased")],
        )


Damage = Callable[[Path], None]


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def spoil(path: Path) -> None:
    path.write_bytes(b"sha256:torn")


def lead_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "unmounted" / path.name)


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def leave(path: Path) -> None:
    """Only reading it fails."""


@dataclass(frozen=True)
class Kind:
    damage: Damage
    error: int = 0
    """Of reading the file."""


DAMAGE: Mapping[str, Kind] = {
    "missing": Kind(remove),
    "empty": Kind(empty),
    "other bytes": Kind(spoil),
    "a link to nowhere": Kind(lead_nowhere),
    "a loop": Kind(loop),
    "a directory": Kind(replace_by_directory),
    "a pipe": Kind(replace_by_pipe),
    "no permission": Kind(leave, errno.EACCES),
    "an error of the disk": Kind(leave, errno.EIO),
}


class Refusing(FilesystemDriver):
    """Does not read one file."""

    def __init__(self, root: Path, path: StoragePath, error: int) -> None:
        super().__init__(root)
        self._path, self._error = path, error

    def read(self, path: StoragePath, limit: int | None = None, *, begin: int = 0) -> bytes:
        if self._error and path == self._path:
            raise OSError(self._error, os.strerror(self._error), path)
        return super().read(path, limit, begin=begin)


def data(manifest: Image) -> StoragePath:
    return layout.blob_data(Digest(manifest.digest))


def revision(manifest: Image) -> StoragePath:
    return layout.revision_link(APP, Digest(manifest.digest))


def current(tag: str) -> StoragePath:
    return layout.tag_current_link(APP, Tag(tag))


def layer(content: bytes, algorithm: str = "sha256") -> StoragePath:
    return layout.layer_link(APP, Digest.of(content, algorithm))


@dataclass(frozen=True)
class Case:
    """A file that is damaged."""

    path: StoragePath
    hides: bool
    """Nothing says without it what some manifest refers to, so the run has something to say."""
    unless_removed: bool = False
    """A manifest that nothing else names: without its link it was deleted."""
    unless_untagged: bool = False
    """No tag leads to it, and it can be read: it goes with `--delete-untagged`."""
    hides_bytes: bool = False
    is_named: bool = False
    """A link that a tag misses if it is no file."""

    def is_told(self, damage: str) -> bool:
        """Return True if a run reports the damage."""
        return self.hides or (self.is_named and damage in NO_FILE)


NO_FILE = frozenset({"missing", "a link to nowhere", "a loop", "a directory", "a pipe"})

CASES: Mapping[str, Case] = {
    "data of a tagged image": Case(data(TAGGED), hides=True),
    "data of an untagged image": Case(data(UNTAGGED), hides=True),
    "data of an index": Case(data(MULTI), hides=True),
    "data of a child": Case(data(CHILD), hides=True),
    "data of a nested index": Case(data(INNER), hides=True),
    "data of a child of a nested index": Case(data(DEEP), hides=True),
    "data of a referrer": Case(data(SIGNATURE), hides=True),
    "data of a referrer of a referrer": Case(data(SIGNATURE_OF_SIGNATURE), hides=True),
    "data of a sparse index": Case(data(SPARSE), hides=True),
    "data of a sha512 image": Case(data(WIDE), hides=True),
    "data of an image with aliases": Case(data(ALIASED), hides=True),
    "link of a tagged image": Case(revision(TAGGED), hides=False, is_named=True),
    "link of an untagged image": Case(revision(UNTAGGED), hides=False, unless_removed=True, unless_untagged=True),
    "link of an index": Case(revision(MULTI), hides=False, is_named=True),
    "link of a child": Case(revision(CHILD), hides=False),
    "link of a nested index": Case(revision(INNER), hides=False),
    "link of a child of a nested index": Case(revision(DEEP), hides=False),
    "link of a referrer": Case(revision(SIGNATURE), hides=False, unless_removed=True),
    "link of a sparse index": Case(revision(SPARSE), hides=False, is_named=True),
    "link of a sha512 image": Case(revision(WIDE), hides=False, is_named=True),
    "tag of an image": Case(current("tagged"), hides=True),
    "tag of an index": Case(current("multi"), hides=True),
    "tag of a sparse index": Case(current("sparse"), hides=True),
    "tag of a sha512 image": Case(current("wide"), hides=True),
    "link of a layer": Case(layer(b"tagged"), hides=False),
    "link of a layer of a child": Case(layer(b"child"), hides=False),
    "link of a sha512 layer": Case(layer(b"wide", "sha512"), hides=False),
    "link of an alias": Case(layer(b"aliased", "sha512"), hides=True, hides_bytes=True),
    "link of an alias that was mounted": Case(layer(b"mounted", "sha512"), hides=True, hides_bytes=True),
    "data of a layer": Case(layout.blob_data(Digest.of(b"tagged")), hides=False),
}


def restore(path: Path, content: bytes) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def everything(driver: FilesystemDriver, *, untagged: bool) -> dict[str, bool]:
    """Pull each image; return which of them are whole."""
    repo = repository(registry_on(driver), APP)
    found = {
        name: pull(repo, each)
        for name, each in {
            "tagged": TAGGED,
            "multi": MULTI,
            "signature": SIGNATURE,
            "second signature": SIGNATURE_OF_SIGNATURE,
            "other": OTHER,
            "wide": WIDE,
            "aliased": ALIASED,
            "mounted": MOUNTED,
        }.items()
    }
    found["sparse"] = repo.manifest(Tag("sparse")).content == SPARSE.content
    found |= {tag: str(repo.tagged(Tag(tag))) == each.digest for tag, each in (("tagged", TAGGED), ("multi", MULTI))}
    if untagged:
        found["untagged"] = pull(repo, UNTAGGED)
    return found


def run(driver: FilesystemDriver, case: Case, kind: Kind, *, delete_untagged: bool) -> Report:
    return gc(Refusing(driver.root, case.path, kind.error), grace=0, delete_untagged=delete_untagged)


@pytest.mark.parametrize("delete_untagged", [False, True], ids=["all", "tagged"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_a_repair_needs_stays(filesystem: FilesystemDriver, case: Case, *, delete_untagged: bool) -> None:
    fill(filesystem)
    path, elsewhere = filesystem.root / case.path, repository(registry_on(filesystem), "elsewhere")
    content = path.read_bytes()
    push_image(elsewhere, OTHER, "latest")
    for name, kind in DAMAGE.items():
        if (case.unless_removed and name == "missing") or (case.unless_untagged and delete_untagged):
            continue
        push_blob(elsewhere, b"garbage")
        kind.damage(path)
        report = run(filesystem, case, kind, delete_untagged=delete_untagged)
        assert bool(report.skipped) == case.is_told(name), (name, report.skipped)
        assert has_blob(filesystem, b"garbage") == case.hides_bytes, name
        restore(path, content)
        pulled = everything(filesystem, untagged=not delete_untagged or case.path == data(UNTAGGED))
        assert all(pulled.values()), (name, pulled)


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("delete_untagged", [False, True], ids=["all", "tagged"])
def test_what_only_the_damage_kept_goes_when_it_is_mended(
    filesystem: FilesystemDriver, *, delete_untagged: bool
) -> None:
    repo = repository(registry_on(filesystem), APP)
    push_image(repo, TAGGED, "tagged")
    push_image(repo, UNTAGGED)
    push_blob(repo, b"garbage")
    path = filesystem.root / data(TAGGED)
    content = path.read_bytes()
    empty(path)
    report = gc(filesystem, grace=0, delete_untagged=delete_untagged)
    assert report.skipped == [
        f"team/app: the manifest {TAGGED.digest}, which the tag tagged names, is damaged; "
        "the whole repository is kept until this is repaired, see pyregistry fsck"
    ]
    assert has_blob(filesystem, b"garbage")
    assert pull(repo, UNTAGGED)
    restore(path, content)
    assert gc(filesystem, grace=0, delete_untagged=delete_untagged).skipped == []
    assert not has_blob(filesystem, b"garbage")
    assert pull(repo, UNTAGGED) is not delete_untagged


@pytest.mark.usefixtures("processes")
def test_a_manifest_without_which_a_tag_was_left_is_kept_until_the_tag_goes(filesystem: FilesystemDriver) -> None:
    repo = repository(registry_on(filesystem), APP)
    push_image(repo, OTHER, "other")
    push_image(repo, TAGGED, "tagged")
    shutil.rmtree((filesystem.root / revision(TAGGED)).parent)
    [sentence] = gc(filesystem, grace=0).skipped
    assert sentence == (
        f"team/app: the manifest {TAGGED.digest}, which the tag tagged names, is not linked in this repository; "
        "it is kept with all its content"
    )
    remove_tag(repo, "tagged")
    assert gc(filesystem, grace=0).skipped == []
    assert not has_blob(filesystem, b"tagged")


@pytest.mark.parametrize("delete_untagged", [False, True], ids=["all", "tagged"])
def test_a_tag_of_which_only_directories_are_left_keeps_nothing(
    filesystem: FilesystemDriver, *, delete_untagged: bool
) -> None:
    repo = repository(registry_on(filesystem), APP)
    push_image(repo, OTHER, "other")
    push_blob(repo, b"garbage")
    for link in (current("unfinished"), layout.tag_index_link(APP, Tag("unfinished"), Digest.of(b""))):
        (filesystem.root / link).parent.mkdir(parents=True)
    assert gc(filesystem, grace=0, delete_untagged=delete_untagged).skipped == []
    assert not has_blob(filesystem, b"garbage")


def test_an_error_that_is_not_of_the_file_ends_the_run(filesystem: FilesystemDriver) -> None:
    push_image(repository(registry_on(filesystem), APP), TAGGED, "tagged")
    for path in (data(TAGGED), current("tagged")):
        with pytest.raises(MarkFailed, match="Too many open files"):
            gc(Refusing(filesystem.root, path, errno.EMFILE), grace=0)


def test_a_manifest_that_is_there_at_the_second_look_is_read_then(root: Path) -> None:
    class Late(FilesystemDriver):
        """Hides a manifest until it is asked for the second time, as if a push healed it meanwhile."""

        asked = 0

        def read(self, path: StoragePath, limit: int | None = None, *, begin: int = 0) -> bytes:
            if path == data(TAGGED):
                self.asked += 1
                if self.asked % 2:
                    raise PathNotFound(path)
            return super().read(path, limit, begin=begin)

    driver = Late(root)
    repo = repository(registry_on(FilesystemDriver(root)), APP)
    push_image(repo, TAGGED, "tagged")
    push_blob(repo, b"garbage")
    for delete_untagged in (False, True):
        assert gc(driver, grace=0, delete_untagged=delete_untagged).skipped == []
        driver.asked = 0
    assert not has_blob(driver, b"garbage")
    assert pull(repo, TAGGED)


class Counting(FilesystemDriver):
    """Counts the files that are read while no writer can commit."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read_in_sections: list[int] = []
        self._is_in_section = False

    @contextlib.contextmanager
    def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
        with super().lock(name, exclusive=exclusive, wait=wait):
            if name != "commit" or not exclusive:
                yield
                return
            self.read_in_sections.append(0)
            self._is_in_section = True
            try:
                yield
            finally:
                self._is_in_section = False

    def read(self, path: StoragePath, limit: int | None = None, *, begin: int = 0) -> bytes:
        if self._is_in_section:
            self.read_in_sections[-1] += 1
        return super().read(path, limit, begin=begin)


def many_images(driver: FilesystemDriver, count: int) -> list[Image]:
    """As many tagged images, by their links alone."""
    images = [image(b"%d" % number) for number in range(count)]
    for number, each in enumerate(images):
        for link in (revision(each), current(f"t{number}")):
            (driver.root / link).parent.mkdir(parents=True)
            (driver.root / link).write_text(each.digest)
    push_blob(repository(registry_on(driver), "elsewhere"), b"garbage")
    return images


@pytest.mark.parametrize("delete_untagged", [False, True], ids=["all", "tagged"])
def test_writers_wait_for_a_few_suspects_only(root: Path, *, delete_untagged: bool) -> None:
    driver = Counting(root)
    many_images(driver, 200)
    assert len(gc(driver, grace=0, delete_untagged=delete_untagged).skipped) == 200
    assert sum(driver.read_in_sections) >= 400  # the tag, and the manifest that is missing
    assert max(driver.read_in_sections) <= 2 * BATCH


def test_damaged_manifests_are_read_without_the_lock(root: Path) -> None:
    driver = Counting(root)
    for each in many_images(driver, 10):
        driver.write(data(each), b"torn")
    assert len(gc(driver, grace=0).skipped) == 10
    assert sum(driver.read_in_sections) == 0


def test_the_tags_are_gone_through_once_for_all_suspects(root: Path) -> None:
    class Tags(dict[str, str | None]):
        looks = 0

        def items(self) -> ItemsView[str, str | None]:  # type: ignore[override] # dict_items is not public
            self.looks += 1
            return super().items()

    driver = FilesystemDriver(root)
    images = many_images(driver, 100)
    documents = list_links(driver, APP, strict=True)
    documents.tags = tags = Tags(documents.tags)
    unreadable = Unreadable(driver, looking(driver), APP, documents)
    for each in images:
        unreadable.manifest(each.digest)
    assert len(unreadable.recheck().sentences) == 100
    assert tags.looks == 2


def test_a_manifest_that_was_deleted_and_comes_back_damaged_ends_the_run(filesystem: FilesystemDriver) -> None:
    """Content below it is not marked: the second look found that it was deleted, and that is no longer so."""
    repo = repository(registry_on(filesystem), APP)
    push_image(repo, OTHER, "other")
    push_image(repo, UNTAGGED)
    push_blob(repo, b"garbage")
    link = filesystem.read(revision(UNTAGGED))

    class Coming(ProgressObserver):
        def repository(self, name: RepositoryName) -> None:
            filesystem.delete(revision(UNTAGGED))
            filesystem.delete(data(UNTAGGED))

        def planned(self, plan: Plan) -> None:
            filesystem.write(data(UNTAGGED), b"torn")
            filesystem.write(revision(UNTAGGED), link)

    with pytest.raises(MarkFailed, match="is no longer readable"):
        collect(filesystem, Options(grace=0, delete_untagged=True), Coming())
    assert has_blob(filesystem, b"garbage")
