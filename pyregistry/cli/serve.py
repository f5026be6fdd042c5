"""`pyregistry serve`: run the registry."""

import os

from pyregistry.cli.config_file import ConfigFile, fail, load_or_fail
from pyregistry.config.errors import ConfigError
from pyregistry.config.load import load


def serve(config: ConfigFile = None) -> None:
    """Serve the registry until it is stopped with SIGTERM or Ctrl-C; SIGHUP takes the config again."""
    path, loaded = load_or_fail(config)
    from pyregistry.auth.htpasswd import HtpasswdInvalid  # noqa: PLC0415 - `--help` need not wait for a server
    from pyregistry.server import serve as run  # noqa: PLC0415 - the same

    try:
        run(loaded, lambda: load(path, os.environ)[0])
    except ConfigError as error:
        fail(f"{path}: {error}")
    except HtpasswdInvalid as error:
        fail(f"{path}: auth.htpasswd.path: {error}")
    except OSError as error:
        fail(f"cannot use the data directory: {error.filename}: {error.strerror}")
