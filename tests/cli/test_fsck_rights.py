"""fsck by a user who may not read, or not write, everything."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pyregistry.oci.names import RepositoryName
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from tests import forked
from tests.cli.test_fsck import config, driver, next_steps
from tests.fsck.trees import blob_path, current
from tests.processes import require_root

__all__ = ["config", "driver"]

NOBODY = 65_534


def as_nobody(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    code = f"import os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})"
    # Python itself may lie where only root may look, so all is imported before.
    modules = "pyregistry.cli.fsck, pyregistry.service.wiring, pyregistry.cli, concurrent.futures.thread"
    command = [sys.executable, "-c", f"import {modules}; {code}; pyregistry.cli.main()", *map(str, words)]
    return forked.run_text(command)


def readable_by(root: Path, *, closed: Path | None = None) -> None:
    for path in (root.parent, *root.parent.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    if closed is not None:
        closed.chmod(0o700)


@pytest.mark.parametrize(
    ("closed", "options"),
    [
        (layout.BLOBS, ()),
        (layout.repository(RepositoryName("many")), ("--scrub", "--rate", "0")),
        (blob_path(b"base"), ("--scrub", "--rate", "0")),
    ],
)
def test_what_may_not_be_read_is_no_damage(
    config: Path, driver: FilesystemDriver, closed: layout.StoragePath, options: tuple[str, ...]
) -> None:
    require_root()
    readable_by(driver.root, closed=driver.root / closed)
    done = as_nobody("fsck", config, *options)
    assert done.returncode == 77, done.stdout + done.stderr
    assert f"no-permission {closed}: cannot be read as user nobody: permission denied\n" in done.stdout
    assert re.search(r"^0 damaged, 0 left over, \d+ not looked at for want of permission$", done.stdout, re.MULTILINE)
    sudo = f"sudo {shlex.join(('pyregistry', 'fsck', str(config), *options))} (runs as user root"
    assert next_steps(done.stdout)[0].startswith(sudo)
    assert "lost" not in done.stdout


def test_damage_is_told_although_something_else_may_not_be_read(config: Path, driver: FilesystemDriver) -> None:
    require_root()
    driver.write(current("multi"), b"")
    readable_by(driver.root, closed=driver.root / layout.repository(RepositoryName("many")))
    done = as_nobody("fsck", config, "--json")
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert (document["damaged"], document["unchecked"]) == (1, 1)


def test_a_directory_that_may_not_be_read_at_all_says_who_asked(config: Path, driver: FilesystemDriver) -> None:
    require_root()
    readable_by(driver.root, closed=driver.root)
    done = as_nobody("fsck", config)
    assert done.returncode == 2
    assert "Permission denied for user nobody; run the command as root, or as the user who owns" in done.stderr
    assert done.stdout == ""


def test_a_blob_of_another_size_that_may_not_be_read_is_not_called_right(
    config: Path, driver: FilesystemDriver
) -> None:
    require_root()
    driver.write(blob_path(b"layer 5"), b"of another size")
    readable_by(driver.root)
    (driver.root / blob_path(b"layer 5")).chmod(0o600)
    done = as_nobody("fsck", config)
    assert done.returncode == 77, done.stdout
    assert "the blob is right" not in done.stdout


def test_a_scrub_of_what_cannot_be_written_reads_all(config: Path, driver: FilesystemDriver) -> None:
    """A backup that is mounted read-only, say."""
    require_root()
    readable_by(driver.root)
    done = as_nobody("fsck", config, "--scrub", "--rate", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^scrub: (\d+) of \1 blobs", done.stdout, re.MULTILINE)
    driver.write(blob_path(b"base"), b"bad")
    (driver.root / blob_path(b"base")).chmod(0o644)
    done = as_nobody("fsck", config, "--scrub", "--rate", "0")
    assert done.returncode == 1, done.stdout + done.stderr
