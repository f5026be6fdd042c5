"""The CNCF registry's rule for the environment: `REGISTRY_HTTP_ADDR` is `http.addr`.

Variables are applied in the order of their names: `REGISTRY_STORAGE` before `REGISTRY_STORAGE_DELETE_ENABLED`. Each
value is YAML, so it may be a whole list or map. A part of a name is a known key, any key of a free map, or an index.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pyregistry.common.documents import MAX_LEVELS, DocumentInvalid, read_yaml
from pyregistry.config.errors import ConfigError, Notes
from pyregistry.config.known_keys import SURFACE, AnyMap, Key, ListOf, Surface
from pyregistry.config.unknown import AUTH, OWN, guess, is_close, join, opens_the_registry

PREFIX = "REGISTRY_"
CONFIGURATION_PATH = "REGISTRY_CONFIGURATION_PATH"
"""The path of the file, so not a key of it."""
VERSION = "REGISTRY_VERSION"
"""Often the version of an image; the CNCF registry uses the one in the file."""

_ANY_CASE = frozenset({"STORAGE", "AUTH"})
"""Sections that are maps to the CNCF registry; in others a part of a name must be in capitals."""
_SHOWN = 60
"""Characters of a name that is too long."""
_KINDS = ("htpasswd", "token", "silly")
"""Kinds of `auth`; a variable with one below a misspelt REGISTRY_AUTH is meant for a registry."""
OF_KUBERNETES = "it looks like a variable that Kubernetes sets for a service"
"""End of the warning of such a variable."""
_KUBERNETES = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)", re.ASCII)
"""Variables that Kubernetes sets for a service called "registry-auth", as well as REGISTRY_AUTH_PORT=tcp://…"""


class _Unknown(Exception):
    """The name does not match a key; the text says which part fails."""

    def __init__(self, reason: str, section: str, part: str, known: Mapping[str, object] | None = None) -> None:
        """Make the error: `part` of the name is not one of the `known` keys of the section."""
        super().__init__(reason)
        self.section = section
        self.part = part
        self.known = known or {}


def apply_environment(
    document: Mapping[object, object], environ: Mapping[str, str], notes: Notes
) -> dict[object, object]:
    """Return the document with the environment applied.

    Each ignored variable is a warning. Invalid YAML and an index past the end of its list are errors. So is a misspelt
    variable that was meant to keep callers out.
    """
    result = dict(document)
    for variable in sorted(name for name in environ if name.startswith(PREFIX) and name != CONFIGURATION_PATH):
        if variable == VERSION:
            notes.add(f"{variable}: ignored, the version of the file is in the file", is_error=False)
            continue
        value = environ[variable]
        if value.startswith(("tcp://", "udp://", "sctp://")) or _KUBERNETES.fullmatch(variable):
            notes.add(f"{variable}: ignored, {OF_KUBERNETES}", is_error=False)
            continue
        path = variable.removeprefix(PREFIX).split("_")
        if len(path) > MAX_LEVELS:
            notes.add(f"{variable[:_SHOWN]}…: ignored, its name has more than {MAX_LEVELS} parts", is_error=False)
            continue
        try:
            laid = _set(result, SURFACE, path, value, _NamedKey(variable))
        except _Unknown as unknown:
            _add_unknown(variable, value, unknown, notes)
        except ConfigError as error:
            notes.errors.extend(error.reasons)
        else:
            assert isinstance(laid, dict)
            result = laid
    return result


def _add_unknown(variable: str, value: str, unknown: _Unknown, notes: Notes) -> None:
    wanted = guess(unknown.part, unknown.known) if unknown.section else _section_meant(unknown.part)
    name = _variable_for(variable, unknown, wanted) if wanted else ""
    suggestion = f"; did you mean {name}?" if name and name != variable else ""
    if _opens_the_registry(variable, value, unknown, wanted):
        notes.add(f"{variable}: {unknown}{suggestion or '; unset it'}", is_error=True)
    else:
        notes.add(f"{variable}: ignored, {unknown}{suggestion}", is_error=False)


def _section_meant(part: str) -> str | None:
    """Return the section that the first part of a name means, by a strict comparison.

    Most variables without a section are meant for another program, such as REGISTRY_PASSWORD.
    """
    return next((section for section in SURFACE if is_close(part, section)), None)


def _variable_for(variable: str, unknown: _Unknown, wanted: str) -> str:
    """Return the intended variable, with `wanted` instead of the unknown part."""
    sections = unknown.section.replace("[", ".").replace("]", "").replace("-", "")
    before = [part.upper() for part in sections.split(".") if part]
    rest = variable.removeprefix(PREFIX).split("_")[len(before) + 1 :]
    return PREFIX + "_".join([*before, wanted.replace("-", "").upper(), *rest])


def _opens_the_registry(variable: str, value: str, unknown: _Unknown, wanted: str | None) -> bool:
    """Return True if ignoring this variable may let callers in.

    Variables of other programs (REGISTRY_AUTH_FILE is podman's) must not stop a server.
    """
    if unknown.section:
        meant_key = join(unknown.section, wanted) if wanted else None
        return opens_the_registry(unknown.section, unknown.part, meant_key) or unknown.section == "http.tls.clientcas"
    if wanted == OWN:
        return unknown.part.lower().startswith("py")
    parts = variable.removeprefix(PREFIX).split("_")
    kind = parts[1] if len(parts) > 1 else value
    return wanted == AUTH and any(is_close(kind, each) for each in _KINDS)


@dataclass(frozen=True, slots=True)
class _NamedKey:
    """A variable, and the key that the parts of its name led to so far."""

    variable: str
    key: str = ""

    def below(self, step: str) -> "_NamedKey":
        """The key of a member."""
        return _NamedKey(self.variable, join(self.key, step))

    def item(self, index: int) -> "_NamedKey":
        """The key of an item of a list."""
        return _NamedKey(self.variable, f"{self.key}[{index}]")


def _parse(variable: str, value: str) -> object:
    try:
        return read_yaml(value)
    except DocumentInvalid as error:
        raise ConfigError(f"{variable}: {error}") from error


def _set(old: object, surface: Surface, path: list[str], value: str, named: _NamedKey) -> object:
    """Return a copy of `old`, which `surface` describes, with this value at `path`."""
    if not path:
        return _parse(named.variable, value)  # not earlier: the value of an unknown key need not be YAML
    part, rest = path[0], path[1:]
    if isinstance(surface, ListOf):
        return _set_item(old, surface, path, value, named)
    if isinstance(surface, Key):
        if not surface.note:
            raise _Unknown(f"there is nothing below this key: {part!r}", named.key, part)
        surface = AnyMap()  # the members of an unsupported key are unknown
    members = _members(old)
    if isinstance(surface, AnyMap):
        key = _spelling(members, part) or part.lower()
        below: Surface = AnyMap()
    else:
        known = _spelling(surface, part)
        if known is None or not (part.isupper() or named.variable.split("_")[1] in _ANY_CASE):
            raise _Unknown(f"there is no such key: {part!r}", named.key, part, surface)
        key, below = _spelling(members, part) or known, surface[known]
    members[key] = _set(members.get(key), below, rest, value, named.below(key))
    return members


def _set_item(old: object, surface: ListOf, path: list[str], value: str, named: _NamedKey) -> list[object]:
    items = list(old) if isinstance(old, list) else []
    part, rest = path[0], path[1:]
    if not (part.isascii() and part.isdecimal()):
        raise _Unknown(f"{part!r} is no index of a list", named.key, part)
    index = int(part)
    if index > len(items):
        raise ConfigError(f"{named.variable}: the list has {len(items)} items, so index {index} is past its end")
    if index == len(items):
        items.append(None)
    items[index] = _set(items[index], surface.of, rest, value, named.item(index))
    return items


def _members(section: object) -> dict[str, object]:
    """Return a copy; a string instead of a section names its only key (`storage: filesystem`)."""
    if isinstance(section, str):
        return {section: {}}
    return {str(key): member for key, member in section.items()} if isinstance(section, dict) else {}


def _spelling(keys: Mapping[str, object], part: str) -> str | None:
    """Return the key that a part of a variable's name means, ignoring case and hyphens."""
    wanted = part.lower().replace("-", "")
    return next((key for key in keys if key.lower().replace("-", "") == wanted), None)
