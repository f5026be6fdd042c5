"""`lost+found`, `.snapshot` and the like, which only root may list: every command passes them over."""

import json
import os
from pathlib import Path

import pytest

from pyregistry.gc.types import MarkFailed, SafetyCheckFailed
from pyregistry.storage.local import volumes
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.reserved import is_reserved
from tests.builders import image
from tests.cli.running import run_process, write_config
from tests.fsck.trees import fill
from tests.gc.collecting import gc
from tests.processes import require_root
from tests.storage.pushing import pull, push_image, registry_on, repository

OWNER = 65_534
WHERE = ("", "docker", "docker/registry/v2", layout.BLOBS, f"{layout.BLOBS}/sha256", layout.REPOSITORIES)
NAMES = ("lost+found", ".snapshot", "@eaDir", "$RECYCLE.BIN", "System Volume Information")


@pytest.fixture
def config(root: Path) -> Path:
    require_root()
    config = write_config(root.parent)
    root.mkdir(exist_ok=True)
    volumes.note_mounted(FilesystemDriver(root))
    fill(registry_on(FilesystemDriver(root)))
    for path in (root, *root.rglob("*")):
        os.chown(path, OWNER, OWNER, follow_symlinks=False)
    for parent in root.parents[:-1]:
        parent.chmod(parent.stat().st_mode | 0o005)
    return config


@pytest.fixture
def reserved(config: Path, root: Path) -> Path:
    """Directories of root, one of which even looks like a repository."""
    for directory in (*WHERE, f"{layout.REPOSITORIES}/team"):
        for name in NAMES:
            (root / directory / name / "app" / "_manifests").mkdir(parents=True)
            (root / directory / name).chmod(0o700)
    return config


@pytest.mark.parametrize(
    "words",
    [("ls", "-c"), ("ls", "*", "-c"), ("du",), ("gc",), ("gc", "-m"), ("gc", "-d"), ("rm", "none*", "-d", "-c")],
    ids=" ".join,
)
def test_commands_pass_them_over(reserved: Path, words: tuple[str, ...]) -> None:
    said = run_process(*words, reserved, status=1 if words[0] == "rm" else 0)
    assert "denied" not in said
    assert not any(name in said for name in NAMES)


def test_fsck_calls_none_of_them_damage_and_lost_and_found_nothing_at_all(reserved: Path) -> None:
    for options in ((), ("--scrub", "--rate", "0")):
        found = json.loads(run_process("fsck", reserved, "--json", *options))
        assert found["damaged"] == 0
        assert {each["kind"] for each in found["findings"]} == {"foreign"}
        assert {Path(each["path"]).name for each in found["findings"]} == set(NAMES) - {"lost+found"}


@pytest.mark.parametrize("command", ["gc", "du"])
def test_an_unreadable_directory_that_may_be_a_repository_ends_the_run(config: Path, root: Path, command: str) -> None:
    hidden = root / layout.REPOSITORIES / "hidden"
    hidden.mkdir()
    hidden.chmod(0o700)
    assert f"{hidden}: Permission denied" in run_process(command, config, status=4)


def test_the_catalog_does_not_enter_what_is_no_name(config: Path, root: Path) -> None:
    (root / layout.REPOSITORIES / "Backup").mkdir(mode=0o700)
    assert "team/app" in run_process("ls", "-c", config)


def test_a_snapshot_is_not_taken_for_the_repositories_of_a_missing_volume(tmp_path: Path) -> None:
    driver = FilesystemDriver(tmp_path)
    push_image(repository(registry_on(driver)), image(), "latest")
    (driver.root / layout.REPOSITORIES / "team").rename(tmp_path / "elsewhere")
    (driver.root / layout.REPOSITORIES / ".snapshot/hourly/team/app/_manifests").mkdir(parents=True)
    with pytest.raises(SafetyCheckFailed, match="a volume seems to be missing"):
        gc(driver)
    (tmp_path / "elsewhere").rename(driver.root / layout.REPOSITORIES / "team")
    assert gc(driver).blobs_removed == 0
    assert pull(repository(registry_on(driver)), image())


@pytest.mark.parametrize("aside", [".app.old", ".aside/app", "~app", ".aside/Deep/app"])
def test_a_repository_that_was_put_aside_keeps_its_blobs(tmp_path: Path, aside: str) -> None:
    driver = FilesystemDriver(tmp_path)
    push_image(repository(registry_on(driver)), image(), "latest")
    push_image(repository(registry_on(driver), "other"), image(), "latest")
    target = driver.root / layout.REPOSITORIES / aside
    target.parent.mkdir(parents=True, exist_ok=True)
    (driver.root / layout.REPOSITORIES / "team/app").rename(target)
    for options in ({}, {"dry_run": True}, {"delete_untagged": True}):
        with pytest.raises(MarkFailed, match=r"not all repositories can be looked at: .*app"):
            gc(driver, **options)
    (driver.root / layout.REPOSITORIES / ".empty/directories").mkdir(parents=True)
    target.rename(driver.root / layout.REPOSITORIES / "team/app")
    assert gc(driver).blobs_removed == 0


def test_a_repository_that_was_put_aside_as_a_link_keeps_its_blobs(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    driver = FilesystemDriver(tmp_path / "data")
    push_image(repository(registry_on(driver)), image(), "latest")
    push_image(repository(registry_on(driver), "other"), image(), "latest")
    (driver.root / layout.REPOSITORIES / "team").rename(tmp_path / "team")
    (driver.root / layout.REPOSITORIES / ".team").symlink_to(tmp_path / "team")
    with pytest.raises(MarkFailed, match="is a symbolic link, which is not followed"):
        gc(driver)
    (driver.root / layout.REPOSITORIES / ".team").rename(driver.root / layout.REPOSITORIES / ".snapshot")
    assert gc(driver, dry_run=True).repositories == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [*((name, True) for name in NAMES), (".zfs", True), ("#recycle", True)]
    + [(name, False) for name in ("app", "0", "_layers", "Backup", "team-1")],
)
def test_which_names_are_reserved(name: str, expected: bool) -> None:
    assert is_reserved(name) is expected
