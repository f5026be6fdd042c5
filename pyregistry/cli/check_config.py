"""`pyregistry check-config`: what a config file, with the environment laid over it, comes to."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
import yaml

from pyregistry.cli.config_file import ConfigFile, ConfigOption, load_with_warnings, refuse
from pyregistry.cli.failure import ConfigRefused
from pyregistry.cli.output import say
from pyregistry.cli.working_directory import leave_lost_directory
from pyregistry.common.lazy import lazy
from pyregistry.common.system_errors import in_words
from pyregistry.config.environment import OF_KUBERNETES
from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Config

if TYPE_CHECKING:
    from pyregistry.service import data_directory, log
    from pyregistry.service import effective_settings as in_force
    from pyregistry.service import preflight as prepared
else:
    in_force = lazy("pyregistry.service.effective_settings")
    log = lazy("pyregistry.service.log")
    data_directory = lazy("pyregistry.service.data_directory")
    prepared = lazy("pyregistry.service.preflight")

WARNED = 1


def check_config(
    config: ConfigFile = None,
    config_option: ConfigOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 if there is anything to warn of.")] = False,
) -> None:
    """Print the config that a server would run with, defaults included, and on standard error what it would warn of.

    Exit status: 0 a server would start; 1 it would, and --strict was given and there are warnings, where those of
    variables that Kubernetes sets do not count; 2 it would not, be it for a file that the config names (passwords,
    rules, keys, certificates) or for a data directory that cannot be read or made. All faults are said, those of
    addresses, expressions and such files once the config itself has none. Not looked at is whether the addresses are
    free. Secrets are shown as ***. The messages are text, whatever log.formatter says.
    """
    path, loaded, warnings = load_with_warnings(config, config_option)
    for warning in warnings:
        say(f"warning: {warning}", err=True)
    level = "warn" if loaded.log.level == "error" else loaded.log.level  # of which a server says nothing, but --strict
    log.configure_logging(level, "text", {})
    counter = _Counter(logging.WARNING)
    logging.getLogger().addHandler(counter)
    _try_what_it_names(path, loaded)
    document = _without_nulls(_masked(msgspec.to_builtins(in_force.in_force(loaded), enc_hook=str)))
    typer.echo(yaml.safe_dump(document, sort_keys=False, default_flow_style=False).rstrip())
    # No one wrote those of Kubernetes, and every Service called "registry" brings them to its neighbours.
    if strict and (counter.count or not all(warning.endswith(OF_KUBERNETES) for warning in warnings)):
        raise typer.Exit(WARNED)


class _Counter(logging.Handler):
    """Counts what is logged at a level or above."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """See Handler."""
        self.count += 1


def _try_what_it_names(path: Path, config: Config) -> None:
    """Raise ConfigRefused with all that is wrong with files, addresses and the data directory."""
    try:
        leave_lost_directory(path, config)
    except ConfigError as error:
        refuse(error.in_file(path))
    tries: tuple[Callable[[Config], object], ...] = (prepared.prepare, data_directory.look_at_storage)
    lines: list[str] = []
    for attempt in tries:
        try:
            attempt(config)
        except ConfigError as error:
            lines += error.in_file(path).reasons
        except OSError as error:
            lines.append(f"cannot use the data directory: {in_words(error)}")
    if lines:
        raise ConfigRefused(*lines)


def _masked(document: dict[str, Any]) -> dict[str, Any]:
    """What a health check sends may be a password; users' passwords are in the htpasswd file."""
    for check in document["health"]["http"]:
        check["headers"] = {name: ["***" for _ in values] for name, values in check["headers"].items()}
        check["uri"] = re.sub(r"(?<=://)[^/@]*(?=@)|(?<=\?).*", "***", check["uri"])
    return document


def _without_nulls(value: object) -> object:
    # A driver without a value would be one that was chosen.
    if not isinstance(value, dict):
        return value
    return {key: _without_nulls(member) for key, member in value.items() if member is not None}
