"""A run reads files that are symbolic links as the server does, and removes them, never what they lead to."""

from pathlib import Path

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.names import Tag
from pyregistry.storage.local import leases
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from tests.builders import image
from tests.gc.collecting import gc, has_blob
from tests.storage.pushing import pull, push_blob, push_image, registry_on, repository

IMAGE = image(b"layer")


def lead_outside(driver: FilesystemDriver) -> list[Path]:
    """Put every file of the tree elsewhere, a symbolic link in its place; returns where they are."""
    places = []
    tree = driver.root / layout.TREE
    for path in [*tree.rglob("data"), *tree.rglob("link")]:
        place = driver.root.parent / "-".join(path.relative_to(tree).parts)
        path.rename(place)
        path.symlink_to(place)
        places.append(place)
    return places


@pytest.mark.parametrize("delete_untagged", [False, True])
def test_an_image_all_of_whose_files_are_links_lives(filesystem: FilesystemDriver, *, delete_untagged: bool) -> None:
    repo = repository(registry_on(filesystem))
    push_image(repo, IMAGE, "latest")
    lead_outside(filesystem)
    report = gc(filesystem, grace=0, delete_untagged=delete_untagged)
    assert (report.blobs, report.blobs_removed, report.skipped) == (3, 0, [])
    assert pull(repo, IMAGE)


def test_what_nothing_refers_to_goes_and_its_bytes_stay_where_they_are(filesystem: FilesystemDriver) -> None:
    repo = repository(registry_on(filesystem))
    push_image(repo, image(b"kept"), "kept")
    push_image(repo, IMAGE, "latest")
    places = lead_outside(filesystem)
    repo.delete_manifest(Digest(IMAGE.digest))
    report = gc(filesystem, grace=0)
    assert (report.blobs_removed, report.links_removed) == (2, 1)
    assert not has_blob(filesystem, b"layer")
    assert all(place.is_file() for place in places)
    assert pull(repo, image(b"kept"))


def test_a_touch_changes_the_record_of_a_link_and_not_its_file(filesystem: FilesystemDriver) -> None:
    digest = push_blob(repository(registry_on(filesystem)), b"layer")
    [place] = [place for place in lead_outside(filesystem) if place.name.startswith("blobs")]
    path = layout.blob_data(digest)
    before, file = filesystem.stat(path), place.stat()
    leases.touch(filesystem, digest)
    assert filesystem.stat(path).modified_ns > before.modified_ns
    assert place.stat().st_mtime_ns == file.st_mtime_ns


def test_the_lease_of_a_link_is_its_own_time(filesystem: FilesystemDriver) -> None:
    repo = repository(registry_on(filesystem))
    push_image(repo, image(b"kept"), "kept")
    digest = push_blob(repo, b"layer")
    lead_outside(filesystem)
    link = layout.layer_link(repo.name, digest)
    assert gc(filesystem).blobs_removed == 0
    leases.release(filesystem, link)
    assert gc(filesystem).blobs_removed == 1


def test_a_blob_behind_a_link_that_leads_nowhere_stays(filesystem: FilesystemDriver) -> None:
    repo = repository(registry_on(filesystem))
    push_image(repo, IMAGE, Tag("latest"))
    for place in lead_outside(filesystem):
        if "blobs" in place.name:
            place.rename(place.with_suffix(".unmounted"))
    report = gc(filesystem, grace=0)
    assert (report.blobs_removed, len(report.skipped)) == (0, 1)
    for place in filesystem.root.parent.glob("*.unmounted"):
        place.rename(place.with_suffix(""))
    assert pull(repo, IMAGE)
