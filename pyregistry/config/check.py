"""Remarks on keys that are unknown or unsupported, or that cannot be ignored."""

from collections.abc import Mapping

from pyregistry.config.errors import Notes
from pyregistry.config.known_keys import SURFACE, AnyMap, Key, ListOf, Surface
from pyregistry.config.unknown import AUTH, join, meant, opens_the_registry


def check(document: Mapping[object, object]) -> Notes:
    """Return a remark for each unsupported key; it is an error if the key cannot be ignored.

    A known key without effect (null, false, an empty list) is skipped. So is an unknown key without a value, unless
    it was meant to keep callers out.
    """
    notes = Notes()
    _check(document, SURFACE, "", notes)
    return notes


def _check(value: object, surface: Surface, path: str, notes: Notes) -> None:
    if isinstance(surface, AnyMap):
        return
    if isinstance(surface, Key | ListOf) and surface.note:
        if _says_something(value):
            _add_note(surface, path, notes)
    elif isinstance(surface, ListOf) and isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, surface.of, f"{path}[{index}]", notes)
    elif isinstance(surface, Mapping) and isinstance(value, Mapping):
        for key, member in value.items():
            _check_member(str(key), member, surface, path, notes)


def _add_note(surface: Key | ListOf, path: str, notes: Notes) -> None:
    if isinstance(surface, Key) and surface.rejected:
        notes.add(f"{path}: {surface.note}; this key cannot be ignored safely", is_error=True)
    else:
        notes.add(f"{path}: not supported, {surface.note}", is_error=False)


def _check_member(key: str, member: object, section: Mapping[str, Surface], path: str, notes: Notes) -> None:
    key_path = join(path, key)
    if key in section:
        _check(member, section[key], key_path, notes)
        return
    if path == AUTH:  # `load` rejects kinds that are not ours
        return
    wanted = meant(path, key, section)
    guess = f"; did you mean {wanted}?" if wanted else ""
    if opens_the_registry(path, key, wanted):
        notes.add(f"{key_path}: there is no such key{guess or '; remove it'}", is_error=True)
    elif member is not None:
        notes.add(f"{key_path}: ignored, there is no such key{guess}", is_error=False)


def _says_something(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_says_something(member) for member in value.values())
    if isinstance(value, list):
        return any(_says_something(member) for member in value)
    return value is not None and value is not False and value != ""
