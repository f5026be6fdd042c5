"""The command line on a directory that a server may be using."""

import os
import subprocess
import sys
from pathlib import Path

import yaml
from typer.testing import CliRunner

from pyregistry.cli import FAILED, app
from pyregistry.cli.failure import CommandFailed
from tests.processes import SOURCE_TREE


def write_config(directory: Path, **extra: object) -> Path:
    """A config for `directory`/data."""
    path = directory / "config.yml"
    document = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(directory / "data")}}, **extra}
    path.write_text(yaml.safe_dump(document))
    return path


def run(*words: str | Path, status: int = 0) -> str:
    """Return the output of a command, in this process and not at a terminal; it must end with this status."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    code, output = done.exit_code, done.output
    if isinstance(done.exception, CommandFailed):  # which `main` says
        code, output = done.exception.status or FAILED, f"{output}{done.exception}\n"
    assert code == status, f"{code}\n{output}\n{done.exception!r}"
    return output


def run_process(*words: str | Path, status: int = 0) -> str:
    """The same in a process of its own, for what changes its rights or its priority."""
    command = [sys.executable, "-m", "pyregistry", *map(str, words)]
    env = {**os.environ, "PYTHONPATH": str(SOURCE_TREE)}
    # Not a fork, which has all modules: an import after it gave up root's rights must fail here as in production.
    done = subprocess.run(
        command, check=False, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr
