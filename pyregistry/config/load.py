"""From a YAML file and the environment to a Config."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import yaml

from pyregistry.config.environment import overlay
from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Config

_DRIVERS = frozenset({"filesystem", "inmemory", "s3", "gcs", "azure", "swift", "oss", "s3aws"})


def load(path: Path, environ: Mapping[str, str]) -> tuple[Config, list[str]]:
    """The config, and warnings about what in it is not carried out. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return parse(text, environ)


def parse(text: str, environ: Mapping[str, str]) -> tuple[Config, list[str]]:
    """`load` without the file."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"not YAML: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError("the file is not a map of sections")
    document, warnings = overlay(document, environ)
    document = _normalise(document)
    try:
        config = msgspec.convert(document, type=Config)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from error
    _check(config, document)
    return config, warnings


def _normalise(document: Mapping[object, object]) -> dict[object, object]:
    normal = {key: value for key, value in document.items() if value is not None}
    if isinstance(normal.get("version"), float):
        normal["version"] = str(normal["version"])  # `version: 0.1` is a float in YAML
    for section in ("storage", "auth"):
        if isinstance(normal.get(section), str):
            normal[section] = {normal[section]: {}}
    storage = normal.get("storage")
    if isinstance(storage, dict):  # `filesystem:` without parameters is null in YAML
        normal["storage"] = {key: {} if value is None else value for key, value in storage.items()}
    return normal


def _check(config: Config, document: Mapping[object, object]) -> None:
    if config.version != "0.1":
        raise ConfigError(f"version: {config.version!r}, expected 0.1")
    storage = document.get("storage")
    drivers = sorted(_DRIVERS.intersection(storage)) if isinstance(storage, dict) else []
    if len(drivers) != 1:
        raise ConfigError(f"storage: exactly one driver is needed, found {', '.join(drivers) or 'none'}")
    if drivers[0] not in {"filesystem", "inmemory"}:
        raise ConfigError(f"storage.{drivers[0]}: this driver is not supported, expected filesystem or inmemory")
    auth = document.get("auth")
    if isinstance(auth, dict) and auth and set(auth) != {"htpasswd"}:
        raise ConfigError(f"auth: {', '.join(map(str, auth))} is not supported, expected htpasswd")
    if "proxy" in document:
        raise ConfigError("proxy: a pull-through cache is not supported; without it this would be another service")
