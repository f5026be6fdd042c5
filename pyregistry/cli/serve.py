"""`pyregistry serve`: run the registry."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from pyregistry.config.errors import ConfigError
from pyregistry.config.load import load

IMAGE_PATHS = (Path("/etc/distribution/config.yml"), Path("/etc/docker/registry/config.yml"))
"""Where the CNCF images 3 and 2 keep their file."""
CONFIG_ERROR = 2


def serve(
    config: Annotated[
        Path | None,
        typer.Argument(help="The config file; else REGISTRY_CONFIGURATION_PATH, else the CNCF images' paths."),
    ] = None,
) -> None:
    """Serve the registry until it is stopped with SIGTERM or Ctrl-C."""
    path = config or _default_path()
    try:
        loaded, warnings = load(path, os.environ)
    except ConfigError as error:
        fail(f"{path}: {error}")
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
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


def fail(reason: str) -> NoReturn:
    """Say why on standard error and exit with 2."""
    typer.echo(f"pyregistry: {reason}", err=True)
    sys.exit(CONFIG_ERROR)


def _default_path() -> Path:
    named = os.environ.get("REGISTRY_CONFIGURATION_PATH")
    if named:
        return Path(named)
    for path in IMAGE_PATHS:
        if path.exists():
            return path
    fail("no config file: name one, or set REGISTRY_CONFIGURATION_PATH")
