"""The first version of this project that served, from the history of this repository."""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.processes import SOURCE_TREE, Server, pyregistry_server, require

FIRST = "644d9ffa5bf9ad75085cd2944e1eaa5d0c929b49"
"""The first one with tests. The commit before it answers 500 to the catalog and to a manifest with a subject."""


def unpack_first_version(directory: Path) -> Path:
    """Put its files below `directory`; skip where the history is not here, as in a shallow clone or a package."""
    git = [require("git", "git"), "-c", "safe.directory=*", "-C", str(SOURCE_TREE)]
    found = subprocess.run([*git, "cat-file", "-e", f"{FIRST}^{{commit}}"], capture_output=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"the history of this clone does not reach back to {FIRST[:7]}: git fetch --unshallow")
    archive = subprocess.run([*git, "archive", FIRST, "pyregistry"], capture_output=True, check=True).stdout
    target = directory / "source"
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(target, filter="data")
    return target


def server_of(source: Path, directory: Path, port: int) -> Server:
    """Its server on the same directory and config as ours, not yet started."""
    server = pyregistry_server(directory, port)
    server.env |= environment_of(source)
    server.log = directory / "old.log"
    return server


def environment_of(source: Path) -> dict[str, str]:
    """Let `python -m pyregistry` find that version, and not the one in the working directory."""
    return {"PYTHONPATH": str(source), "PYTHONSAFEPATH": "1"}


def require_old(source: Path) -> None:
    """Fail unless the program that runs with that environment is an old version: it had no fsck."""
    command = [sys.executable, "-m", "pyregistry", "fsck", "--help"]
    env = {**os.environ, **environment_of(source)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2, done.stdout
    assert "No such command" in done.stderr
