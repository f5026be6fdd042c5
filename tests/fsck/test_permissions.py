"""Files that the server could not use, and links that lead elsewhere."""

import os
from pathlib import Path

import pytest

from pyregistry.storage.local.filesystem import FilesystemDriver
from tests.fsck.trees import blob_path, fill, findings, layer_link
from tests.processes import require_root
from tests.storage.pushing import registry_on

USER = 65_534


def give_away(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        os.chown(path, USER, USER, follow_symlinks=False)


def test_a_file_of_another_user_is_found_once_for_all_of_them(filesystem: FilesystemDriver) -> None:
    require_root()
    fill(registry_on(filesystem))
    give_away(filesystem.root)
    assert findings(filesystem) == []
    for path in (blob_path(b"base"), blob_path(b"new"), layer_link(b"new")):
        os.chown(filesystem.root / path, 0, 0)
    assert findings(filesystem) == []  # it can be read, and need not be touched
    for path in (blob_path(b"base"), blob_path(b"new"), layer_link(b"new")):
        (filesystem.root / path).chmod(0o640)
    [finding] = findings(filesystem)
    assert finding.kind == "not-usable"
    assert "belongs to the user 0, the data directory to 65534, as do 2 more" in finding.sentence


@pytest.mark.parametrize(
    ("group", "mode", "is_found"),
    [(USER, 0o2775, False), (USER, 0o755, True), (0, 0o777, False), (0, 0o775, True)],
    ids=["group writes", "group reads", "all write", "another group writes"],
)
def test_a_directory_of_another_user_is_found_if_nothing_can_be_made_in_it(
    filesystem: FilesystemDriver, group: int, mode: int, is_found: bool
) -> None:
    require_root()
    fill(registry_on(filesystem))
    give_away(filesystem.root)
    directory = (filesystem.root / blob_path(b"base")).parent
    os.chown(directory, 0, group)
    directory.chmod(mode)
    assert bool(findings(filesystem)) == is_found


def test_a_file_that_its_owner_may_not_write_is_found(filesystem: FilesystemDriver) -> None:
    require_root()
    fill(registry_on(filesystem))
    give_away(filesystem.root)
    (filesystem.root / blob_path(b"base")).chmod(0o444)
    (filesystem.root / blob_path(b"new")).parent.chmod(0o500)
    assert {finding.sentence.split(":")[0] for finding in findings(filesystem)} == {
        "has the mode 0500, its owner needs 0700",
        "has the mode 0444, its owner needs 0600",
    }


def test_a_symbolic_link_to_a_directory_is_not_followed_and_is_told(filesystem: FilesystemDriver) -> None:
    fill(registry_on(filesystem))
    repositories = filesystem.root / "docker/registry/v2/repositories"
    (repositories / "elsewhere").symlink_to(repositories / "team")
    found = {(str(finding.kind), finding.path.split("/")[-1]) for finding in findings(filesystem)}
    assert found == {("foreign", "elsewhere")}
