"""kill -9 of the collector at every storage call: nothing is lost, and the next run finishes the work."""

import subprocess
import sys
from pathlib import Path

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from tests.builders import Image, artifact, image, index
from tests.gc.collecting import blobs, gc, remove_repository, remove_tag, stored_by
from tests.processes import SOURCE_TREE
from tests.storage.pushing import files_of, pull, push_image, registry_on, repository

KEPT = index(image(b"base", b"amd64"), image(b"base", b"arm64"))
SIGNATURE = artifact(KEPT)
GARBAGE = index(index(image(b"base", b"old")), image(b"older"))
LEFT = stored_by(KEPT, SIGNATURE)


@pytest.fixture
def tree(root: Path) -> Path:
    """A directory with an untagged index, a deleted image, a removed and an emptied repository."""
    driver = FilesystemDriver(root)
    registry = registry_on(driver)
    repo = repository(registry)
    push_image(repo, KEPT, "latest")
    push_image(repo, SIGNATURE)
    push_image(repo, GARBAGE, "old")
    remove_tag(repo, "old")
    push_image(repo, image(b"deleted"), "deleted")
    repo.delete_manifest(Digest(image(b"deleted").digest))
    for name in ("gone", "space/emptied"):
        push_image(repository(registry, name), image(b"base", name.encode()), "latest")
    remove_repository(driver, "gone")
    remove_tag(repository(registry, "space/emptied"), "latest")
    return root


@pytest.mark.parametrize("when", ["before", "after"])
def test_whatever_it_was_doing_nothing_is_lost_and_the_next_run_finishes(tree: Path, when: str) -> None:
    work = tree.parent / "work"
    command = [sys.executable, "-m", "tests.gc.killing", str(tree), str(work), when]
    result = subprocess.run(command, cwd=SOURCE_TREE, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    roots = list(work.iterdir())
    assert len(roots) > 100
    for root in roots:
        driver = FilesystemDriver(root)
        repo = repository(registry_on(driver))
        for manifest in (KEPT, SIGNATURE):
            assert pull(repo, manifest), root.name
        for digest in driver.children(layout.child(layout.revisions(repo.name), "sha256")):  # nothing incomplete
            garbage = {each.digest: each for each in _with_children(GARBAGE)}.get(f"sha256:{digest}")
            assert garbage is None or pull(repo, garbage), root.name
        report = gc(driver, delete_untagged=True)
        assert report.skipped == [], root.name
        assert blobs(driver) == LEFT, root.name
        assert list(driver.children(layout.REPOSITORIES)) == ["team"], root.name
        assert files_of(driver, layout.trash(layout.PRIVATE)) == [], root.name
        assert all(pull(repo, manifest) for manifest in (KEPT, SIGNATURE)), root.name


def _with_children(manifest: Image) -> list[Image]:
    return [manifest, *(each for child in manifest.children for each in _with_children(child))]
