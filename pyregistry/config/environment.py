"""The CNCF registry's rule for the environment: `REGISTRY_HTTP_ADDR` stands for `http.addr`.

Variables are applied in the order of their names, so that `REGISTRY_STORAGE` comes before
`REGISTRY_STORAGE_DELETE_ENABLED`; each value is YAML, so lists and maps can be given as a whole. A part of a name is
a key of the section that it has reached, a key of the operator's own in a map, or an index in a list.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pyregistry.common.documents import MAX_LEVELS, DocumentInvalid, read_yaml
from pyregistry.config.errors import ConfigError, Notes
from pyregistry.config.known_keys import SURFACE, Free, Items, Key, Surface
from pyregistry.config.unknown import AUTH, OWN, guess, is_close, join, opens_the_registry

PREFIX = "REGISTRY_"
CONFIGURATION_PATH = "REGISTRY_CONFIGURATION_PATH"
"""Where the file is, and so no key of it."""
VERSION = "REGISTRY_VERSION"
"""Often that of an image; the CNCF registry looks at the file's own."""

_ANY_CASE = frozenset({"STORAGE", "AUTH"})
"""Sections that are maps to the CNCF registry; in its others a part of a name has to be in capitals."""
_SHOWN = 60
"""Characters of a name that is too long."""
_KINDS = ("htpasswd", "token", "silly")
"""Kinds of `auth`; a variable that names one below a misspelt REGISTRY_AUTH is meant for a registry."""
OF_KUBERNETES = "it looks like a variable that Kubernetes sets for a service"
"""End of the warning of such a variable."""
_KUBERNETES = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)", re.ASCII)
"""What Kubernetes sets for a service called "registry-auth", beside REGISTRY_AUTH_PORT=tcp://…"""


class _Unknown(Exception):
    """The name reaches no key; the text says where it stops."""

    def __init__(self, reason: str, section: str, part: str, known: Mapping[str, object] | None = None) -> None:
        """`part` of the name is none of the keys `known` of the section."""
        super().__init__(reason)
        self.section = section
        self.part = part
        self.known = known or {}


def lay_over(document: Mapping[object, object], environ: Mapping[str, str], notes: Notes) -> dict[object, object]:
    """Return the document with the environment laid over it.

    Noted are a warning for each variable that was left out, and an error for a value that is not YAML, for an index
    behind the end of its list, and for a misspelt variable that was to keep callers out.
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
            laid = _set(result, SURFACE, path, value, _Place(variable))
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
    """Return the section that the first part of a name means.

    Strictly: most variables that reach no section are meant for another program, such as REGISTRY_PASSWORD.
    """
    return next((section for section in SURFACE if is_close(part, section)), None)


def _variable_for(variable: str, unknown: _Unknown, wanted: str) -> str:
    """Return the variable that was meant by one that has another part in this place."""
    sections = unknown.section.replace("[", ".").replace("]", "").replace("-", "")
    before = [part.upper() for part in sections.split(".") if part]
    rest = variable.removeprefix(PREFIX).split("_")[len(before) + 1 :]
    return PREFIX + "_".join([*before, wanted.replace("-", "").upper(), *rest])


def _opens_the_registry(variable: str, value: str, unknown: _Unknown, wanted: str | None) -> bool:
    """Return True if callers may get in because this variable is ignored.

    The environment belongs to other programs too (REGISTRY_AUTH_FILE is podman's): theirs must not stop a server.
    """
    if unknown.section:
        place = join(unknown.section, wanted) if wanted else None
        return opens_the_registry(unknown.section, unknown.part, place) or unknown.section == "http.tls.clientcas"
    if wanted == OWN:
        return unknown.part.lower().startswith("py")
    parts = variable.removeprefix(PREFIX).split("_")
    kind = parts[1] if len(parts) > 1 else value
    return wanted == AUTH and any(is_close(kind, each) for each in _KINDS)


@dataclass(frozen=True, slots=True)
class _Place:
    """A variable, and the key of the section that the parts of its name have reached."""

    variable: str
    key: str = ""

    def below(self, step: str) -> "_Place":
        """The place of a member."""
        return _Place(self.variable, join(self.key, step))

    def item(self, index: int) -> "_Place":
        """The place of an item of a list."""
        return _Place(self.variable, f"{self.key}[{index}]")


def _parse(variable: str, value: str) -> object:
    try:
        return read_yaml(value)
    except DocumentInvalid as error:
        raise ConfigError(f"{variable}: {error}") from error


def _set(old: object, surface: Surface, path: list[str], value: str, place: _Place) -> object:
    """A copy of `old`, which is what `surface` describes, in which `path` has this value."""
    if not path:
        return _parse(place.variable, value)  # not before: what reaches no key need not be YAML
    part, rest = path[0], path[1:]
    if isinstance(surface, Items):
        return _set_item(old, surface, path, value, place)
    if isinstance(surface, Key):
        if not surface.instead:
            raise _Unknown(f"there is nothing below this key: {part!r}", place.key, part)
        surface = Free()  # what we do not carry out we do not know from inside
    members = _members(old)
    if isinstance(surface, Free):
        key = _spelling(members, part) or part.lower()
        below: Surface = Free()
    else:
        known = _spelling(surface, part)
        if known is None or not (part.isupper() or place.variable.split("_")[1] in _ANY_CASE):
            raise _Unknown(f"there is no such key: {part!r}", place.key, part, surface)
        key, below = _spelling(members, part) or known, surface[known]
    members[key] = _set(members.get(key), below, rest, value, place.below(key))
    return members


def _set_item(old: object, surface: Items, path: list[str], value: str, place: _Place) -> list[object]:
    items = list(old) if isinstance(old, list) else []
    part, rest = path[0], path[1:]
    if not (part.isascii() and part.isdecimal()):
        raise _Unknown(f"{part!r} is no index of a list", place.key, part)
    index = int(part)
    if index > len(items):
        raise ConfigError(f"{place.variable}: the list has {len(items)} items, so that index {index} is behind its end")
    if index == len(items):
        items.append(None)
    items[index] = _set(items[index], surface.of, rest, value, place.item(index))
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
