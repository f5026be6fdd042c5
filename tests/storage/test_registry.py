"""The catalog: every repository once, in one order, whatever else lies in the tree."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import Unavailable
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.repositories.registry import EVERYTHING, Registry
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import exists
from tests.builders import OCI_INDEX, image, index
from tests.storage.counting import AskedDriver
from tests.storage.mounts import read_only_part
from tests.storage.pushing import files_of, push_blob, push_image, registry_on, repository

INDEX = index()
ORDERED = ["a", "a/0x", "a/b", "a/b/c", "a-b", "a.b", "a0", "a_b", "a__b", "ab", "b/c/d"]


def push_index(registry: Registry, *names: str) -> None:
    for name in names:
        repository(registry, name).put_manifest(Tag("v1"), INDEX.content, OCI_INDEX)


def pages(registry: Registry, size: int) -> list[str]:
    """The catalog as a client collects it."""
    names: list[str] = []
    while True:
        catalog = registry.catalog(names[-1] if names else None)
        page = [str(name) for name, _ in zip(catalog, range(size), strict=False)]
        if not page:
            return names
        names += page


def test_an_empty_registry_has_no_repositories(registry: Registry) -> None:
    assert list(registry.catalog()) == []


def test_repositories_come_component_by_component(registry: Registry) -> None:
    push_index(registry, *reversed(ORDERED))
    assert list(registry.catalog()) == sorted(ORDERED, key=lambda name: name.split("/"))


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pages_of_any_size_make_the_whole_list(registry: Registry, size: int) -> None:
    push_index(registry, *ORDERED)
    assert pages(registry, size) == list(registry.catalog())


AFTER = [
    "",
    "a",
    "a/",
    "a//b",
    "a/0",
    "a/_manifests",
    "_",
    "..",
    "../..",
    "a/..",
    "zz",
    "A",
    "a\0b",
    "a\n",
    "/",
    "a" * 300,
]
AFTER += ["/".join("a" * 200), "\udcff", "a/0x/deeper/still"]


@pytest.mark.parametrize("after", AFTER)
def test_a_name_to_go_on_behind_need_not_be_one(registry: Registry, after: str) -> None:
    push_index(registry, *ORDERED)
    listed = list(registry.catalog(after))
    assert listed == [name for name in registry.catalog() if name.split("/") > (after.split("/") if after else [])]


@given(
    st.lists(st.one_of(st.sampled_from([*"ab0", "a-b", "0x", "", ".", "..", "_layers", "A"]), st.text(max_size=3))).map(
        "/".join
    )
)
@example("a/_manifests/tags")
@settings(max_examples=150)
def test_every_text_is_a_position_in_the_order_of_the_names(after: str) -> None:
    registry = registry_on(MemoryDriver())
    push_index(registry, *ORDERED)
    position = after.split("/") if after else []
    assert list(registry.catalog(after)) == [name for name in registry.catalog() if name.split("/") > position]


@pytest.mark.parametrize("after", ["..", "a/..", "a/../b", "_layers/a", "a/_layers", "a/_manifests/tags/v1", "a" * 300])
def test_a_position_that_is_no_name_is_never_a_path(root: Path, after: str) -> None:
    driver = AskedDriver(root)
    registry = registry_on(driver)
    push_index(registry, *ORDERED)
    driver.asked.clear()
    list(registry.catalog(after))
    assert [path for path in driver.asked if f"{path}/".startswith(f"{layout.REPOSITORIES}/{after}/")] == []
    assert [path for path in driver.asked if ".." in path.split("/")] == []


COMPONENTS = st.sampled_from(["a", "b", "0", "0x", "a-b", "a.b", "a_b", "a0"])
NAMES = st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join)
JUNK = st.one_of(st.sampled_from(["_layers", "_uploads", "A", ".DS_Store", "lost+found", "a_", "-"]), COMPONENTS)


@given(st.sets(NAMES, max_size=12), st.sets(st.tuples(NAMES, JUNK), max_size=4), st.integers(1, 5))
@example({"a", "a/0x", "a/b", "a-b"}, set(), 1)
@settings(max_examples=150)
def test_all_pages_together_are_the_full_list(names: set[str], junk: set[tuple[str, str]], size: int) -> None:
    driver = MemoryDriver()
    registry = registry_on(driver)
    push_index(registry, *names)
    for name, entry in junk:
        driver.make_directory(layout.child(layout.repository(RepositoryName(name)), entry))
    assert list(registry.catalog()) == sorted(names, key=lambda name: name.split("/"))
    assert pages(registry, size) == list(registry.catalog())


def test_foreign_files_in_the_tree_do_no_harm(root: Path, filesystem: FilesystemDriver) -> None:
    registry = registry_on(filesystem)
    push_index(registry, "a", "a/b")
    repositories = root / layout.REPOSITORIES
    for path in (".DS_Store", "a/notes.txt", "Upper", "a/_manifests/tags/note", "a/b/x.tmp", "z"):
        (repositories / path).write_bytes(b"junk")
    (repositories / "Upper-directory/_manifests/tags/v1/current").mkdir(parents=True)
    (repositories / "link").symlink_to("a")
    (repositories / "a" / "up").symlink_to("..")
    assert list(registry.catalog()) == ["a", "a/b"]


def test_directories_below_the_deepest_repository_are_not_entered() -> None:
    driver = MemoryDriver()
    registry = registry_on(driver)
    deepest = "/".join("a" * 128)
    push_index(registry, deepest)
    path = layout.repository(RepositoryName(deepest))
    for _ in range(1_500):
        path = layout.child(path, "a")
    driver.make_directory(path, durable=False)
    assert list(registry.catalog()) == [deepest]


def test_a_repository_without_tag_and_manifest_is_not_listed(registry: Registry) -> None:
    push_blob(repository(registry, "blob"), b"content")
    repository(registry, "upload").start_upload()
    push_image(repository(registry, "deleted"), image(), "v1")
    repository(registry, "deleted").delete_manifest(Digest(image().digest))
    push_image(repository(registry, "untagged"), image())
    push_image(repository(registry, "tag-deleted"), image(), "v1")
    repository(registry, "tag-deleted").delete_tag(Tag("v1"))
    assert list(registry.catalog()) == ["tag-deleted", "untagged"]


def test_a_repository_that_the_cncf_registry_emptied_is_not_listed(registry: Registry, driver: Driver) -> None:
    push_image(repository(registry, "a"), image())
    driver.delete(layout.revision_link(RepositoryName("a"), Digest(image().digest)))
    assert list(registry.catalog()) == []


def _having(registry: Registry, content: bytes) -> list[str]:
    return [found.name for found in registry.list_having(Digest.of(content), EVERYTHING) if found is not None]


def test_a_blob_is_found_in_the_repositories_that_have_it(registry: Registry) -> None:
    for name in ("b", "a/nested"):
        push_blob(repository(registry, name), b"content")
    push_blob(repository(registry, "c"), b"other")
    assert _having(registry, b"content") == ["a/nested", "b"]


def test_a_blob_that_is_nowhere_is_not_found(registry: Registry, driver: Driver) -> None:
    push_blob(repository(registry, "a"), b"content")
    assert _having(registry, b"other") == []
    driver.delete(layout.blob_data(Digest.of(b"content")))
    assert _having(registry, b"content") == []


def test_trying_to_write_changes_nothing(driver: Driver, registry: Registry) -> None:
    registry.try_writing()
    assert not exists(driver, layout.TREE)
    push_image(repository(registry), image(b"layer"), "latest")
    before = {path: driver.stat(StoragePath(path)) for path in files_of(driver)}
    for _ in range(2):
        registry.try_writing()
    assert {path: driver.stat(StoragePath(path)) for path in files_of(driver)} == before


def test_trying_to_write_goes_on_when_a_blob_was_removed(driver: Driver, registry: Registry) -> None:
    digest = push_blob(repository(registry), b"layer")
    registry.try_writing()
    driver.delete(layout.blob(digest))
    for _ in range(2):
        registry.try_writing()


@pytest.mark.parametrize("part", [layout.BLOBS, f"{layout.BLOBS}/sha256", layout.REPOSITORIES])
def test_a_part_of_the_tree_that_cannot_be_written_is_found(root: Path, part: str) -> None:
    registry = registry_on(FilesystemDriver(root))
    push_blob(repository(registry), b"layer")
    registry.try_writing()
    with (
        read_only_part(root / part),
        pytest.raises((OSError, Unavailable), match=r"Read-only file system|cross-device link|was mounted"),
    ):
        registry.try_writing()
    registry.try_writing()


class _Public:
    """The view of a caller who may read what is in `public` alone."""

    shows_all = False

    def shows(self, name: RepositoryName) -> bool:
        return name.startswith("public/")

    def reaches(self, namespace: str) -> bool:
        return namespace in ("", "public") or namespace.startswith("public/")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_what_the_caller_may_not_read_is_not_looked_at_to_find_a_blob(root: Path, algorithm: str) -> None:
    driver = AskedDriver(root)
    registry = registry_on(driver)
    for name in ("public/a", "private/b", "public/c"):
        push_blob(repository(registry, name), name.encode(), algorithm)
    asked = {}
    for content in (b"private/b", b"nowhere"):
        digest = Digest.of(content, algorithm)
        driver.asked.clear()
        assert set(registry.list_having(digest, _Public())) == {None}
        asked[content] = [path.replace(digest.encoded, "HEX") for path in driver.asked]
    assert asked[b"private/b"] == asked[b"nowhere"]
    assert not [path for path in asked[b"nowhere"] if "/blobs/" in path or "/private" in path]
    found = registry.list_having(Digest.of(b"public/c", algorithm), _Public())
    assert [each.name for each in found if each is not None] == ["public/c"]
