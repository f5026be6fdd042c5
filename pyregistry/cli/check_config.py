"""`pyregistry check-config`: the effective config of a file and the environment."""

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
from pyregistry.common.overriding import override
from pyregistry.common.system_errors import in_words
from pyregistry.config.environment import OF_KUBERNETES
from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Config

if TYPE_CHECKING:
    from pyregistry.service import data_directory, effective_settings, log, preflight
else:
    effective_settings = lazy("pyregistry.service.effective_settings")
    log = lazy("pyregistry.service.log")
    data_directory = lazy("pyregistry.service.data_directory")
    preflight = lazy("pyregistry.service.preflight")

WARNED = 1


def check_config(
    config: ConfigFile = None,
    config_option: ConfigOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if there are warnings.")] = False,
) -> None:
    """Print the config that a server would use, with defaults, and its warnings on standard error.

    Exit status: 0 a server would start; 1 it would, but --strict was given and there are warnings; 2 it would not.
    Warnings about variables that Kubernetes sets do not count. It also checks the files that the config names
    (passwords, rules, keys, certificates) and the data directory. All faults are listed. Those of addresses,
    expressions and files come only when the config itself is valid. It does not check that the addresses are free.
    Secrets are shown as ***. The messages are text, even with log.formatter: json.
    """
    path, loaded, warnings = load_with_warnings(config, config_option)
    for warning in warnings:
        say(f"warning: {warning}", err=True)
    # With `error` a server logs no warnings, but --strict counts them.
    level = "warn" if loaded.log.level == "error" else loaded.log.level
    log.configure_logging(level, "text", {})
    counter = _Counter(logging.WARNING)
    logging.getLogger().addHandler(counter)
    _try_what_it_names(path, loaded)
    document = _without_nulls(_masked(msgspec.to_builtins(effective_settings.effective_config(loaded), enc_hook=str)))
    typer.echo(yaml.safe_dump(document, sort_keys=False, default_flow_style=False).rstrip())
    # Kubernetes sets those in all pods of a namespace that has a Service called "registry".
    if strict and (counter.count or not all(warning.endswith(OF_KUBERNETES) for warning in warnings)):
        raise typer.Exit(WARNED)


class _Counter(logging.Handler):
    """Counts log lines at a level or above."""

    count = 0

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


def _try_what_it_names(path: Path, config: Config) -> None:
    """Raise ConfigRefused with all faults of files, addresses and the data directory."""
    try:
        leave_lost_directory(path, config)
    except ConfigError as error:
        refuse(error.in_file(path))
    tries: tuple[Callable[[Config], object], ...] = (preflight.prepare, data_directory.check_storage)
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
    """Mask what health checks send, as it may be a password; the config has no other secrets."""
    for check in document["health"]["http"]:
        check["headers"] = {name: ["***" for _ in values] for name, values in check["headers"].items()}
        check["uri"] = re.sub(r"(?<=://)[^/@]*(?=@)|(?<=\?).*", "***", check["uri"])
    return document


def _without_nulls(value: object) -> object:
    # A driver printed with a null would count as chosen.
    if not isinstance(value, dict):
        return value
    return {key: _without_nulls(member) for key, member in value.items() if member is not None}
