"""The CNCF registry's rule for the environment: `REGISTRY_HTTP_ADDR` stands for `http.addr`.

Variables are applied in the order of their names, so that `REGISTRY_STORAGE` comes before
`REGISTRY_STORAGE_DELETE_ENABLED`; each value is YAML, so lists and maps can be given as a whole.
"""

import re
from collections.abc import Mapping

import yaml

from pyregistry.config.errors import ConfigError

PREFIX = "REGISTRY_"
_SECTIONS = frozenset(
    {"version", "log", "loglevel", "storage", "auth", "middleware", "http", "notifications", "redis", "health"}
    | {"catalog", "tags", "proxy", "validation", "policy", "compatibility", "reporting", "pyregistry"}
)

_KUBERNETES = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)", re.ASCII)
"""What Kubernetes sets for a service called "registry-auth", beside REGISTRY_AUTH_PORT=tcp://…"""


def overlay(document: Mapping[object, object], environ: Mapping[str, str]) -> tuple[dict[object, object], list[str]]:
    """The document with the environment laid over it, and a warning for each variable that was left out.

    Raises ConfigError for a value that is not YAML.
    """
    result = dict(document)
    warnings = []
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        path = variable.removeprefix(PREFIX).lower().split("_")
        if path[0] not in _SECTIONS:
            # Kubernetes sets REGISTRY_PORT=tcp://… for a service called "registry".
            warnings.append(f"{variable}: ignored, the config has no section {path[0]!r}")
        elif environ[variable].startswith(("tcp://", "udp://", "sctp://")) or _KUBERNETES.fullmatch(variable):
            warnings.append(f"{variable}: ignored, it looks like a variable that Kubernetes sets for a service")
        else:
            result = _set(result, path, _parse(variable, environ[variable]))
    return result, warnings


def _parse(variable: str, value: str) -> object:
    try:
        return yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: 2001-99-99 looks like a date
        raise ConfigError(f"{variable}: the value is not YAML: {error}") from error


def _set(section: object, path: list[str], value: object) -> dict[object, object]:
    """A copy of `section` in which `path` has this value; a string where a section belongs names its one key."""
    members: dict[object, object] = {}
    if isinstance(section, str):
        members[section] = {}
    elif isinstance(section, dict):
        members.update(section)
    first, rest = path[0], path[1:]
    key = next((key for key in members if str(key).lower() == first), first)
    members[key] = _set(members.get(key), rest, value) if rest else value
    return members
