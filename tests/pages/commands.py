"""The commands of a page in docs/, typed as they stand there, with other paths."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.processes import SOURCE_TREE

DOCS = SOURCE_TREE / "docs"
_BLOCK = re.compile(r"<!-- (?P<name>[\w. -]+) -->\n```sh\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


class Page:
    """The named blocks of a page; `paths` has our path for each path of the page, longest first."""

    def __init__(self, name: str, paths: Mapping[str, str]) -> None:
        self.blocks = {found["name"]: found["text"] for found in _BLOCK.finditer((DOCS / name).read_text())}
        self.paths = paths

    def text(self, block: str) -> str:
        """A block with our paths."""
        text = self.blocks[block]
        for path, ours in sorted(self.paths.items(), key=lambda item: -len(item[0])):
            text = text.replace(path, ours)
        return text

    def run(self, block: str, directory: Path, **environment: str) -> str:
        """Type a block at a shell that stops at the first failure; return what it prints."""
        done = shell(self.text(block), directory, **environment)
        assert done.returncode == 0, f"{self.text(block)}{done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def shell(text: str, directory: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run lines of a page; `pyregistry` is the one of this tree."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(SOURCE_TREE), **environment}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=directory,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
