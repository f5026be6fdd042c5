"""Removing repositories and tags while others work."""

from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams import layout
from tests.builders import artifact, image
from tests.gc.collecting import exists
from tests.storage.pushing import pull, push_image, remove_repository, remove_tag, repository, tagged_images


def test_a_repository_goes_with_all_that_is_its_own(driver: Driver, registry: Registry) -> None:
    repo = repository(registry, "team/app")
    push_image(repo, image(), "latest")
    push_image(repo, artifact(image()))
    repo.start_upload()
    push_image(repository(registry, "team/app/nested"), image(), "latest")
    push_image(repository(registry, "team/app-2"), image(), "latest")
    assert remove_repository(driver, RepositoryName("team/app"))
    assert list(registry.catalog()) == ["team/app/nested", "team/app-2"]
    assert list(driver.children(layout.repository(RepositoryName("team/app")))) == ["nested"]
    assert pull(repository(registry, "team/app/nested"), image())


def test_namespaces_that_are_empty_go_with_it(driver: Driver, registry: Registry) -> None:
    push_image(repository(registry, "a/b/c"), image(), "latest")
    push_image(repository(registry, "a/d"), image(), "latest")
    remove_repository(driver, RepositoryName("a/b/c"))
    assert list(driver.children(layout.repository(RepositoryName("a")))) == ["d"]
    remove_repository(driver, RepositoryName("a/d"))
    assert not exists(driver, layout.repository(RepositoryName("a")))


def test_what_is_not_there_is_not_removed(driver: Driver, registry: Registry) -> None:
    push_image(repository(registry, "a/b"), image(), "latest")
    assert not remove_repository(driver, RepositoryName("a"))
    assert not remove_tag(driver, RepositoryName("a/b"), Tag("other"))
    assert remove_tag(driver, RepositoryName("a/b"), Tag("latest"))
    assert tagged_images(repository(registry, "a/b")) == {}
    assert pull(repository(registry, "a/b"), image())


def test_entries_show_files_and_directories_in_byte_order(driver: Driver) -> None:
    path = layout.child(layout.REPOSITORIES, "x")
    driver.write(layout.child(path, "b"), b"12")
    driver.make_directory(layout.child(path, "a-b"))
    driver.make_directory(layout.child(path, "a"))
    entries = list(driver.entries(path))
    assert [(entry.name, entry.is_directory, entry.stat.is_file) for entry in entries] == [
        ("a", True, False),
        ("a-b", True, False),
        ("b", False, True),
    ]
    assert entries[2].stat == driver.stat(layout.child(path, "b"))
    assert list(driver.entries(layout.child(path, "missing"))) == list(driver.entries(layout.child(path, "b"))) == []
