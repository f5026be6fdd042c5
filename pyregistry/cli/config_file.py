"""The config file of a command: finding, loading and reporting its faults."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from pyregistry.cli.failure import CommandFailed, ConfigRefused
from pyregistry.cli.output import say
from pyregistry.common.lazy import lazy
from pyregistry.config.environment import CONFIGURATION_PATH
from pyregistry.config.errors import ConfigError
from pyregistry.config.load import load
from pyregistry.config.schema import Config, Log

if TYPE_CHECKING:
    from pyregistry.service import log
else:
    log = lazy("pyregistry.service.log")

IMAGE_PATHS = (Path("/etc/distribution/config.yml"), Path("/etc/docker/registry/config.yml"))
"""Paths of the config file in the CNCF images 3 and 2."""

ConfigFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="[CONFIG]", help="The config file; else REGISTRY_CONFIGURATION_PATH, else the CNCF images' paths."
    ),
]
"""For commands without other arguments that could be confused with it; they have `ConfigOption` too."""

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="The config file; else REGISTRY_CONFIGURATION_PATH, else the CNCF images' paths."
    ),
]


def load_or_fail(*given: Path | None) -> tuple[Path, Config]:
    """Return the file and its config, and print its warnings on standard error. Raises ConfigRefused.

    `given` has the file from the argument and from the option; only one may be given.
    """
    path = _one_path(given)
    try:
        return path, load_again(path)
    except ConfigError as error:
        refuse(error, error.log)


def load_with_warnings(*given: Path | None) -> tuple[Path, Config, list[str]]:
    """Return the file, its config and its warnings; raise ConfigRefused."""
    path = _one_path(given)
    try:
        return path, *_load(path)
    except ConfigError as error:
        refuse(error)


def _one_path(given: Sequence[Path | None]) -> Path:
    named = [path for path in given if path is not None]
    if len(named) > 1:
        raise ConfigRefused(f"two config files: {named[0]} and {named[1]}; name one, as a word or with --config")
    return named[0] if named else _default_path()


def load_again(path: Path) -> Config:
    """Return the config of a file, and print its warnings on standard error in the format of `log.formatter`.

    Raises ConfigError, which names the file.
    """
    config, warnings = _load(path)
    for warning in warnings:
        if config.log.formatter == "text":
            say(f"warning: {warning}", err=True)
        else:
            _log("warning", warning, config.log)
    return config


def _load(path: Path) -> tuple[Config, list[str]]:
    try:
        return load(path, os.environ)
    except ConfigError as error:
        raise error.in_file(path) from error


def refuse(error: ConfigError, section: Log | None = None) -> NoReturn:
    """Raise ConfigRefused with a line for each fault; where `section` asks for JSON the lines go to the log."""
    if section is None or section.formatter == "text":
        raise ConfigRefused(*error.reasons) from error
    for reason in error.reasons:
        _log("error", reason, section)
    raise ConfigRefused from error


def fail_in_log(reason: str, section: Log) -> NoReturn:
    """Fail like `fail`, but with a log line if `log.formatter` is not text."""
    if section.formatter == "text":
        fail(reason)
    _log("error", reason, section)
    failed = CommandFailed(reason)
    failed.lines = ()
    raise failed


def _log(level: str, line: str, section: Log) -> None:
    log.write_line(level, line, section.formatter, section.fields)


def fail(reason: str) -> NoReturn:
    """Raise CommandFailed, which each of our programs prints in its own way."""
    raise CommandFailed(reason)


def needed_files(path: Path, config: Config) -> list[str]:
    """Return the config file and all files that it names, which a server must be able to read."""
    tls, auth, rules = config.http.tls, config.auth.chosen, config.pyregistry.access
    named = [tls.certificate, tls.key, *tls.client_cas]
    if auth is not None:
        named += auth.files
    if isinstance(rules, str):
        named.append(rules)
    return [str(path), *(file for file in named if file)]


def _default_path() -> Path:
    named = os.environ.get(CONFIGURATION_PATH)
    if named:
        return Path(named)
    for path in IMAGE_PATHS:
        if path.exists():
            return path
    raise ConfigRefused(f"configuration path unspecified: name a file, or set {CONFIGURATION_PATH}")
