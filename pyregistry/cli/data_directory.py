"""The data directory, for commands that work on it beside a server."""

import os
from pathlib import Path

from pyregistry.cli.config_file import fail
from pyregistry.config.schema import Config
from pyregistry.storage.filesystem import FilesystemDriver


def open_driver(config: Config) -> FilesystemDriver:
    """A driver on the data directory, as the user that owns it; exits with 2 where there is none.

    Started as root it changes to that user and group first, so that it leaves no file that the server cannot use.
    """
    if config.storage.filesystem is None:
        fail("storage.inmemory: there is no data directory")
    root = Path(config.storage.filesystem.root_directory)
    try:
        owner = root.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.setgroups([])
            os.setgid(owner.st_gid)
            os.setuid(owner.st_uid)
        return FilesystemDriver(root)
    except OSError as error:
        fail(f"cannot use the data directory: {error.filename}: {error.strerror}")
