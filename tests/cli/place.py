"""Commands, run as a user runs them, and the data that they work on."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

from pyregistry.storage import volumes
from pyregistry.storage.filesystem import FilesystemDriver
from pyregistry.storage.registry import Registry


def run(command: str, *arguments: str | Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    """`pyregistry COMMAND …`, to its end."""
    words = [sys.executable, "-m", "pyregistry", command, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environ})


class Place:
    """A data directory with the config that names it; a server saw it when it was empty."""

    def __init__(self, directory: Path, **sections: object) -> None:
        self.data = directory / "data"
        self.data.mkdir()
        self.config = directory / "config.yml"
        storage = {"filesystem": {"rootdirectory": str(self.data)}, **sections}
        self.config.write_text(yaml.safe_dump({"version": 0.1, "storage": storage}))
        self.driver = FilesystemDriver(self.data)
        volumes.remember(self.driver)
        self.registry = Registry(self.driver)
