"""`pyregistry serve`: run the registry."""

import os
from pathlib import Path

from pyregistry.cli.config_file import ConfigFile, fail, load_again, load_or_fail
from pyregistry.cli.failure import ConfigRefused
from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Config


def serve(config: ConfigFile = None) -> None:
    """Serve the registry until it is stopped with SIGTERM or Ctrl-C; SIGHUP takes the config again."""
    path, loaded = load_or_fail(config)
    from pyregistry.server import serve as run  # noqa: PLC0415 - `--help` need not wait for a server

    try:
        run(loaded, lambda: load_again(path))
    except ConfigError as error:
        raise ConfigRefused(f"{path}: {error}") from error
    except OSError as error:
        fail(f"cannot use the data directory: {error.filename}: {error.strerror}{_whose(loaded)}")


def _whose(config: Config) -> str:
    """What an operator needs to know to mend a volume that cannot be written."""
    if config.storage.filesystem is None:
        return ""
    root = Path(config.storage.filesystem.root_directory)
    try:
        stat = root.stat()
    except OSError:
        return ""
    mine, theirs = f"{os.geteuid()}:{os.getegid()}", f"{stat.st_uid}:{stat.st_gid}"
    return f" (this is user {mine}; {root} belongs to {theirs}, mode {stat.st_mode & 0o7777:o})"
