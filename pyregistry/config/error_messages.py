"""Words for values and types of a config in error messages."""

import json
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from pyregistry.config.values import Duration

MAX_CHARACTERS = 60
"""Characters of a value in a message."""

_WORDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text, in quotes where it looks like something else",
    Duration: "a duration such as 10s, 1h30m or 500ms",
}


def format_value(value: object) -> str:
    """Return a value as YAML, cut if it is long; only "a map" or "a list", whose members may be secret."""
    if isinstance(value, dict | list):
        return "a map" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}…"


def alternatives(kind: Any) -> tuple[Any, ...]:
    """Return the types that a field may have, without null and annotations."""
    if get_origin(kind) is Annotated:
        return alternatives(get_args(kind)[0])
    return tuple(each for each in get_args(kind) if each is not NoneType) if isinstance(kind, UnionType) else (kind,)


def is_section(kind: Any) -> bool:
    """Return True for a type whose value is a map of known keys."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def expected(kind: Any) -> str:
    """Return words for a value of this type."""
    for remark in get_args(kind)[1:] if get_origin(kind) is Annotated else ():
        if remark.description:
            return str(remark.description)
    return " or ".join(_expected(each) for each in alternatives(kind))


def _expected(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return f"one of {', '.join(str(choice) for choice in get_args(kind) if choice)}"
    if origin is list:
        return "a list"
    if origin is dict or is_section(kind):
        return "a map of keys"
    return _WORDS.get(kind, "something else")
