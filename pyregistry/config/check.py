"""Remarks on keys that are unknown, not carried out, or that cannot be ignored."""

from collections.abc import Mapping

from pyregistry.config.errors import Notes
from pyregistry.config.known_keys import SURFACE, Free, Items, Key, Surface
from pyregistry.config.unknown import AUTH, join, meant, opens_the_registry


def check(document: Mapping[object, object]) -> Notes:
    """Return a sentence for each key that is not carried out: errors are about those that cannot be ignored.

    A known key that says nothing (null, false, an empty list) is passed over: leaving it out would be the same. So is
    an unknown one without a value, unless it was to keep callers out.
    """
    notes = Notes()
    _check(document, SURFACE, "", notes)
    return notes


def _check(value: object, surface: Surface, path: str, notes: Notes) -> None:
    if isinstance(surface, Free):
        return
    if isinstance(surface, Key | Items) and surface.instead:
        if _says_something(value):
            _add_instead(surface, path, notes)
    elif isinstance(surface, Items) and isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, surface.of, f"{path}[{index}]", notes)
    elif isinstance(surface, Mapping) and isinstance(value, Mapping):
        for key, member in value.items():
            _check_member(str(key), member, surface, path, notes)


def _add_instead(surface: Key | Items, path: str, notes: Notes) -> None:
    if isinstance(surface, Key) and surface.refused:
        notes.add(f"{path}: {surface.instead}; without it this would be another service", is_error=True)
    else:
        notes.add(f"{path}: not carried out, {surface.instead}", is_error=False)


def _check_member(key: str, member: object, section: Mapping[str, Surface], path: str, notes: Notes) -> None:
    place = join(path, key)
    if key in section:
        _check(member, section[key], place, notes)
        return
    if path == AUTH:  # each kind that is not ours is refused, see `load`
        return
    wanted = meant(path, key, section)
    guess = f"; did you mean {wanted}?" if wanted else ""
    if opens_the_registry(path, key, wanted):
        notes.add(f"{place}: there is no such key{guess or '; remove it'}", is_error=True)
    elif member is not None:
        notes.add(f"{place}: ignored, there is no such key{guess}", is_error=False)


def _says_something(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_says_something(member) for member in value.values())
    if isinstance(value, list):
        return any(_says_something(member) for member in value)
    return value is not None and value is not False and value != ""
