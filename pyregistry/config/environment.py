"""The CNCF registry's rule for the environment: `REGISTRY_HTTP_ADDR` stands for `http.addr`.

Variables are applied in the order of their names, so that `REGISTRY_STORAGE` comes before
`REGISTRY_STORAGE_DELETE_ENABLED`; each value is YAML, so lists and maps can be given as a whole. A part of a name is
a key of the section that it has reached, a key of the operator's own in a map, or an index in a list.
"""

import re
from collections.abc import Mapping

from pyregistry.config.errors import ConfigError
from pyregistry.config.surface import SURFACE, Free, Items, Key, Surface
from pyregistry.documents import DocumentInvalid, read_yaml

PREFIX = "REGISTRY_"
CONFIGURATION_PATH = "REGISTRY_CONFIGURATION_PATH"
"""Where the file is, and so no key of it."""
VERSION = "REGISTRY_VERSION"
"""Often that of an image; the CNCF registry looks at the file's own."""

_ANY_CASE = frozenset({"STORAGE", "AUTH"})
"""Sections that are maps to the CNCF registry; in its others a part of a name has to be in capitals."""
_KUBERNETES = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)", re.ASCII)
"""What Kubernetes sets for a service called "registry-auth", beside REGISTRY_AUTH_PORT=tcp://…"""


class _Unknown(Exception):
    """The name reaches no key; the text says where it stops."""


def overlay(document: Mapping[object, object], environ: Mapping[str, str]) -> tuple[dict[object, object], list[str]]:
    """The document with the environment laid over it, and a warning for each variable that was left out.

    Raises ConfigError for a value that is not YAML, and for an index behind the end of its list.
    """
    result = dict(document)
    warnings = []
    for variable in sorted(name for name in environ if name.startswith(PREFIX) and name != CONFIGURATION_PATH):
        if variable == VERSION:
            warnings.append(f"{variable}: ignored, the version of the file is in the file")
            continue
        value = environ[variable]
        path = variable.removeprefix(PREFIX).split("_")
        if value.startswith(("tcp://", "udp://", "sctp://")) or _KUBERNETES.fullmatch(variable):
            warnings.append(f"{variable}: ignored, it looks like a variable that Kubernetes sets for a service")
            continue
        try:
            laid = _set(result, SURFACE, path, value, variable)
        except _Unknown as unknown:
            warnings.append(f"{variable}: ignored, {unknown}")
        else:
            assert isinstance(laid, dict)
            result = laid
    return result, warnings


def _parse(variable: str, value: str) -> object:
    try:
        return read_yaml(value)
    except DocumentInvalid as error:
        raise ConfigError(f"{variable}: {error}") from error


def _set(old: object, surface: Surface, path: list[str], value: str, variable: str) -> object:
    """A copy of `old`, which is what `surface` describes, in which `path` has this value."""
    if not path:
        return _parse(variable, value)  # not before: what reaches no key need not be YAML
    part, rest = path[0], path[1:]
    if isinstance(surface, Items):
        return _set_item(old, surface, path, value, variable)
    if isinstance(surface, Key):
        if not surface.instead:
            raise _Unknown(f"there is nothing below this key: {part!r}")
        surface = Free()  # what we do not carry out we do not know from inside
    members = _members(old)
    if isinstance(surface, Free):
        key = _spelling(members, part) or part.lower()
        below: Surface = Free()
    else:
        known = _spelling(surface, part)
        if known is None or not (part.isupper() or variable.split("_")[1] in _ANY_CASE):
            raise _Unknown(f"there is no such key: {part!r}")
        key, below = _spelling(members, part) or known, surface[known]
    members[key] = _set(members.get(key), below, rest, value, variable)
    return members


def _set_item(old: object, surface: Items, path: list[str], value: str, variable: str) -> list[object]:
    items = list(old) if isinstance(old, list) else []
    part, rest = path[0], path[1:]
    if not (part.isascii() and part.isdecimal()):
        raise _Unknown(f"{part!r} is no index of a list")
    index = int(part)
    if index > len(items):
        raise ConfigError(f"{variable}: the list has {len(items)} items, so that index {index} is behind its end")
    if index == len(items):
        items.append(None)
    items[index] = _set(items[index], surface.of, rest, value, variable)
    return items


def _members(section: object) -> dict[str, object]:
    """A copy; a string where a section belongs names its one key (`storage: filesystem`)."""
    if isinstance(section, str):
        return {section: {}}
    return {str(key): member for key, member in section.items()} if isinstance(section, dict) else {}


def _spelling(keys: Mapping[str, object], part: str) -> str | None:
    """The key that a part of a variable's name means: whatever its case, and without our own section's hyphens."""
    wanted = part.lower().replace("-", "")
    return next((key for key in keys if key.lower().replace("-", "") == wanted), None)
