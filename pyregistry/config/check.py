"""What to tell an operator about keys that are unknown, not carried out, or that cannot be ignored."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from pyregistry.config.errors import ConfigError
from pyregistry.config.surface import SURFACE, Free, Items, Key, Surface


def check(document: Mapping[str, object]) -> list[str]:
    """A sentence for each key that is not carried out. Raises ConfigError for one that cannot be ignored.

    A key that says nothing (null, false, an empty list) is passed over: leaving it out would be the same.
    """
    return list(_check(document, SURFACE, ""))


def _check(value: object, surface: Surface, path: str) -> Iterator[str]:
    if not _says_something(value) or isinstance(surface, Free):
        return
    if isinstance(surface, Key | Items) and surface.instead:
        if isinstance(surface, Key) and surface.refused:
            raise ConfigError(f"{path}: {surface.instead}; without it this would be another service")
        yield f"{path}: not carried out, {surface.instead}"
    elif isinstance(surface, Items) and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _check(item, surface.of, f"{path}[{index}]")
    elif isinstance(surface, Mapping) and isinstance(value, Mapping):
        for key, member in value.items():
            yield from _check_member(str(key), member, surface, path)


def _check_member(key: str, member: object, section: Mapping[str, Surface], path: str) -> Iterator[str]:
    place = f"{path}.{key}" if path else key
    if key in section:
        yield from _check(member, section[key], place)
        return
    close = get_close_matches(key, section, n=1)
    guess = f"; did you mean {path + '.' if path else ''}{close[0]}?" if close else ""
    yield f"{place}: ignored, there is no such key{guess}"


def _says_something(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_says_something(member) for member in value.values())
    if isinstance(value, list):
        return any(_says_something(member) for member in value)
    return value is not None and value is not False and value != ""
