"""What commands that take a config file have in common."""

import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from pyregistry.cli.failure import CommandFailed, ConfigRefused
from pyregistry.cli.output import say
from pyregistry.config.environment import CONFIGURATION_PATH
from pyregistry.config.errors import ConfigError
from pyregistry.config.load import load
from pyregistry.config.schema import Config

IMAGE_PATHS = (Path("/etc/distribution/config.yml"), Path("/etc/docker/registry/config.yml"))
"""Where the CNCF images 3 and 2 keep their file."""

ConfigFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="CONFIG", help="The config file; else REGISTRY_CONFIGURATION_PATH, else the CNCF images' paths."
    ),
]
"""For a command whose other words cannot be taken for it; such a command has `ConfigOption` too."""

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="The config file; else REGISTRY_CONFIGURATION_PATH, else the CNCF images' paths."
    ),
]


def load_or_fail(*given: Path | None) -> tuple[Path, Config]:
    """The file and what it says, its warnings on standard error. Raises ConfigRefused.

    `given` is the file as each of the ways to name it has it; it may be named in one way only.
    """
    named = [path for path in given if path is not None]
    if len(named) > 1:
        raise ConfigRefused(f"two config files: {named[0]} and {named[1]}; name one, as a word or with --config")
    path = named[0] if named else _default_path()
    try:
        return path, load_again(path)
    except ConfigError as error:
        raise ConfigRefused(str(error)) from error


def load_again(path: Path) -> Config:
    """Return what the file says, its warnings on standard error; raise ConfigError, which names the file."""
    try:
        config, warnings = load(path, os.environ)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    for warning in warnings:
        say(f"warning: {warning}", err=True)
    return config


def fail(reason: str) -> NoReturn:
    """Raises CommandFailed, which each of our programs says in its own way."""
    raise CommandFailed(reason)


def _default_path() -> Path:
    named = os.environ.get(CONFIGURATION_PATH)
    if named:
        return Path(named)
    for path in IMAGE_PATHS:
        if path.exists():
            return path
    raise ConfigRefused(f"configuration path unspecified: name a file, or set {CONFIGURATION_PATH}")
