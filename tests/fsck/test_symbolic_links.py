"""Symbolic links are followed and their targets checked; dangling ones are reported, and their claims are kept."""

import os
from pathlib import Path

import pytest

from pyregistry.fsck.scrubbing import Coverage
from pyregistry.inventory.images import tagged_images
from pyregistry.inventory.usage import measure
from pyregistry.oci.digest import Digest
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from tests.fsck.trees import (
    APP,
    NEW,
    blob_path,
    current,
    fill,
    findings,
    kinds,
    layer_link,
    quarantine_if_damaged,
    repair_all,
    scrub,
)
from tests.storage.backends import backend_on
from tests.storage.pushing import files_of, pull, push_image, registry_on, repository


def lead_outside(driver: FilesystemDriver, path: StoragePath, *, moved: bool = True) -> Path:
    """Put a symbolic link in the place of a file; returns where the file is, if it was moved, or should be."""
    place = driver.root.parent / path.replace("/", "-")
    source = driver.root / path
    if moved:
        source.rename(place)
    else:
        source.unlink()
    source.symlink_to(place)
    return place


def test_a_tree_of_links_is_whole_in_every_count(filesystem: FilesystemDriver) -> None:
    fill(registry_on(filesystem))
    repo = repository(registry_on(filesystem), APP)
    before = measure(backend_on(filesystem)), list(tagged_images(filesystem, repo))
    for path in files_of(filesystem, layout.TREE):
        if path.endswith(("/link", "/data")) and "_uploads" not in path:
            lead_outside(filesystem, StoragePath(path))
    assert findings(filesystem) == []
    images = list(tagged_images(filesystem, repo))
    assert [(each.tag, each.size, each.platforms) for each in images] == [
        (each.tag, each.size, each.platforms) for each in before[1]
    ]
    usage = measure(backend_on(filesystem))
    assert (usage.size, usage.blobs, usage.repositories) == (
        before[0].size,
        before[0].blobs,
        before[0].repositories,
    )
    progress = Coverage()
    assert list(scrub(filesystem, progress, lambda size: None)) == []
    assert progress.blobs == progress.checked == before[0].blobs


def test_a_damaged_blob_behind_a_link_is_found_and_the_link_put_away(filesystem: FilesystemDriver) -> None:
    fill(registry_on(filesystem))
    place = lead_outside(filesystem, blob_path(b"new"))
    place.write_bytes(b"bad")
    [found] = scrub(filesystem, Coverage(), lambda size: None)
    assert (found.kind, found.digest) == ("corrupt-blob", Digest.of(b"new"))
    assert quarantine_if_damaged(filesystem, Digest.of(b"new"))
    assert place.read_bytes() == b"bad"
    assert not os.path.lexists(filesystem.root / blob_path(b"new"))
    push_image(repository(registry_on(filesystem), APP), NEW)
    assert pull(repository(registry_on(filesystem), APP), NEW)
    assert place.read_bytes() == b"bad"


def test_a_link_that_was_replaced_meanwhile_is_not_put_away(filesystem: FilesystemDriver) -> None:
    fill(registry_on(filesystem))
    lead_outside(filesystem, blob_path(b"new"))
    assert not quarantine_if_damaged(filesystem, Digest.of(b"new"))
    assert pull(repository(registry_on(filesystem), APP), NEW)


@pytest.mark.parametrize(
    ("path", "others"),
    [
        (blob_path(b"new"), {"missing-blob"}),
        (layout.blob_data(Digest(NEW.digest)), {"missing-child", "missing-referrer"}),
        (layer_link(b"new"), {"unlinked-blob"}),
        (layout.revision_link(APP, Digest(NEW.digest)), set()),
        (current(), set()),
    ],
)
def test_a_link_that_leads_nowhere_is_told_and_keeps_every_claim_on_it(
    filesystem: FilesystemDriver, path: StoragePath, others: set[str]
) -> None:
    fill(registry_on(filesystem))
    content = (filesystem.root / path).read_bytes()
    place = lead_outside(filesystem, path, moved=False)
    assert "no-file" in kinds(filesystem)
    assert set(kinds(filesystem)) <= {"no-file", *others}
    assert any(finding.lost for finding in findings(filesystem))
    repair_all(filesystem)
    assert (filesystem.root / path).is_symlink()
    place.write_bytes(content)
    assert findings(filesystem) == []
    assert pull(repository(registry_on(filesystem), APP), NEW)
