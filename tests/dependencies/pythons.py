"""Interpreters of this machine by version: those of the path, and those of pyenv."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

_ASK = "import sys; print('%d.%d' % sys.version_info[:2])"


class PythonMissing(Exception):
    """This machine has no Python of that version."""


def find(version: str) -> Path:
    """Return the interpreter of a version such as 3.13; raise PythonMissing with a message if it is missing."""
    for path in _candidates(version):
        if _version_of(path) == version:
            return path
    raise PythonMissing(f"Python {version} not found: put python{version} on the path, or `pyenv install {version}`")


def _candidates(version: str) -> Iterator[Path]:
    on_path = shutil.which(f"python{version}")
    if on_path is not None:
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    installed = (pyenv / "versions").glob(f"{version}.*/bin/python")
    yield from sorted(installed, key=_numbers, reverse=True)


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.parent.parent.name)]


def _version_of(path: Path) -> str:
    """Return the interpreter's own answer; empty for pyenv's shim of a version that is not chosen."""
    done = subprocess.run([path, "-c", _ASK], capture_output=True, text=True, check=False)
    return done.stdout.strip()
