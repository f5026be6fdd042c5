"""`make image` in copies of the source tree, each a git repository with one commit."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.processes import SOURCE_TREE, require

SECONDS = 1_700_000_000
"""Time of the commit, which the image shows as TIME."""
TIME = "2023-11-14T22:13:20Z"
SOURCE = "https://example.org/pyregistry.git"
"""Address of the remote."""


def copy_known_files(directory: Path) -> None:
    """Copy the files of the source tree that git knows, as they are now."""
    for file in filter(None, _run([require("git", "git"), "ls-files", "-z"], SOURCE_TREE).split("\0")):
        if (SOURCE_TREE / file).exists():
            (directory / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE_TREE / file, directory / file)


def make_image(source: Path, copy: Path, wheels: Path, **environ: str) -> None:
    """Copy `source` to `copy` and run `make image` there, without a network and with these variables."""
    require("make", "make")
    git = require("git", "git")
    shutil.copytree(source, copy, copy_function=shutil.copy)  # the times of the files are others in each copy
    shutil.copytree(wheels, copy / "wheels")
    author = {"GIT_AUTHOR_DATE": f"{SECONDS} +0000", "GIT_COMMITTER_DATE": f"{SECONDS} +0000"}
    author |= {f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    _run([git, "init", "--quiet"], copy)
    _run([git, "add", "--all", "--", ".", ":!wheels"], copy)
    _run([git, "commit", "--quiet", "--message", "all"], copy, **author)
    _run([git, "remote", "add", "origin", SOURCE], copy)
    _run(["make", "image"], copy, PIP_OPTIONS="--no-index --find-links=wheels", **environ)


def _run(words: Sequence[str], directory: Path, **environ: str) -> str:
    done = subprocess.run(
        words, cwd=directory, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout
