"""`pyregistry check-config`: what a config file, with the environment laid over it, comes to."""

import re
from typing import Any

import msgspec
import typer
import yaml

from pyregistry.cli.config_file import ConfigFile, ConfigOption, fail, load_or_fail
from pyregistry.config.errors import ConfigError
from pyregistry.system_errors import in_words


def check_config(config: ConfigFile = None, config_option: ConfigOption = None) -> None:
    """Print the config that a server would run with, defaults included, and on standard error what it would warn of.

    It ends with 2 for a config that a server would refuse, be it for a file that the config names (passwords, rules,
    keys, certificates) or for a data directory that cannot be read or made. Not looked at is whether the addresses are
    free. Secrets are shown as ***.
    """
    path, loaded = load_or_fail(config, config_option)
    from pyregistry.data_directory import look_at_storage  # noqa: PLC0415 - the same
    from pyregistry.log import configure_logging  # noqa: PLC0415 - `--help` need not wait for a server
    from pyregistry.prepared import prepare  # noqa: PLC0415 - the same

    configure_logging(loaded.log.level, "text", {})
    try:
        prepare(loaded)
        look_at_storage(loaded)
    except OSError as error:
        fail(f"cannot use the data directory: {in_words(error)}")
    except ConfigError as error:
        fail(f"{path}: {error}")
    document = _without_nulls(_masked(msgspec.to_builtins(loaded, enc_hook=str)))
    typer.echo(yaml.safe_dump(document, sort_keys=False, default_flow_style=False).rstrip())


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
