"""As whom a command of root's works on a data directory."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import config_file, run
from tests.processes import require_root

OWNER = 4321
WRITES = """
import os, sys
from pathlib import Path
from pyregistry.cli.rights import act_as_owner
from pyregistry.config.load import load
config, _ = load(Path(sys.argv[1]), {})
act_as_owner(config)
if config.storage.filesystem and len(sys.argv) == 2:
    (Path(config.storage.filesystem.root_directory) / "made").touch()
print(os.geteuid(), os.getegid(), os.getgroups())
"""


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that others than root may enter, which pytest's own may not be."""
    with tempfile.TemporaryDirectory(prefix="pyregistry-rights-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


def test_root_leaves_nothing_that_the_owner_of_the_directory_could_not_open(reachable: Path) -> None:
    require_root()
    (reachable / "data").mkdir()
    os.chown(reachable / "data", OWNER, OWNER + 1)
    done = run([sys.executable, "-c", WRITES], config_file(reachable))
    assert done.stdout == f"{OWNER} {OWNER + 1} []\n", done.stderr
    made = (reachable / "data/made").stat()
    assert (made.st_uid, made.st_gid) == (OWNER, OWNER + 1)


def test_root_stays_root_where_the_directory_is_roots_or_not_there(tmp_path: Path) -> None:
    require_root()
    for _ in range(2):
        done = run([sys.executable, "-c", WRITES], config_file(tmp_path), "nothing is written")
        assert done.stdout.startswith("0 0 "), done.stderr
        (tmp_path / "data").mkdir(exist_ok=True)


def test_memory_belongs_to_nobody(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text("version: 0.1\nstorage: inmemory\n")
    assert run([sys.executable, "-c", WRITES], path).stdout.startswith(f"{os.geteuid()} ")
