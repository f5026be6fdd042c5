"""The working directory of a server, which may be removed or inaccessible."""

import os
from collections.abc import Iterator
from pathlib import Path

from pyregistry.cli.config_file import needed_files
from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Config


def leave_lost_directory(path: Path, config: Config) -> None:
    """Change to `/` if the working directory was removed: imports of a server ask for its name.

    Raises ConfigError if the config has relative paths, which could then not be found.
    """
    try:
        os.getcwd()  # noqa: PTH109 - only to check that it exists
    except OSError as error:
        relative = [f"{key}: {name!r}" for key, name in _paths(path, config) if not Path(name).is_absolute()]
        if relative:
            reason = f"begins in the working directory, which is lost ({error.strerror}); use an absolute path"
            raise ConfigError(*(f"{each} {reason}" for each in relative)) from error
        os.chdir("/")


def _paths(path: Path, config: Config) -> Iterator[tuple[str, str]]:
    """Yield each path that a server opens, with its key in the config."""
    if config.storage.filesystem is not None:
        yield "storage.filesystem.rootdirectory", config.storage.filesystem.root_directory
    if config.http.net == "unix":
        yield "http.addr", config.http.addr
    for index, check in enumerate(config.health.file):
        yield f"health.file[{index}].file", check.file
    for file in needed_files(path, config):
        yield "file", file
