"""Commands, run as a user runs them, and the data that they work on."""

import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

from pyregistry.storage.local import volumes
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.uploads import Upload
from tests import forked
from tests.storage.pushing import registry_on, repository


def run(command: str, *arguments: str | Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    """`pyregistry COMMAND …`, to its end."""
    words = [sys.executable, "-m", "pyregistry", command, *map(str, arguments)]
    return forked.run_text(words, env={**os.environ, **environ})


class Place:
    """A data directory with the config that names it; a server saw it when it was empty."""

    def __init__(self, directory: Path, **sections: object) -> None:
        self.data = directory / "data"
        self.data.mkdir()
        self.config = directory / "config.yml"
        storage = {"filesystem": {"rootdirectory": str(self.data)}, **sections}
        self.config.write_text(yaml.safe_dump({"version": 0.1, "storage": storage}))
        self.driver = FilesystemDriver(self.data)
        volumes.note_mounted(self.driver)
        self.registry = registry_on(self.driver)


def begin_upload(place: Place, size: int, *, hours_ago: float) -> Upload:
    """An upload to which nothing was sent for so long."""
    upload = repository(place.registry, "team/app").start_upload()
    path = layout.upload_data(upload.repository, upload.id)
    place.driver.write(path, bytes(size))
    for each in (path, layout.upload_started_at(upload.repository, upload.id)):
        place.driver.set_mtime(each, time.time_ns() - round(hours_ago * 3600e9))
    return upload
