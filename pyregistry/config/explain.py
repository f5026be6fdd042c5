"""What msgspec finds wrong, in an operator's words: the key, what stands there, what was expected."""

import json
import re
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

import msgspec

from pyregistry.config.values import Duration

SHOWN = 60
"""Characters of a value; the key says where the rest is."""

_FINDING = re.compile(r"(?s)(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?")
_MISSING = re.compile(r"Object missing required field `(.+)`")
_GOT = re.compile(r"Expected `.*`, got `(\w+)`")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_NAMES: Mapping[str, type | tuple[type, ...]] = {
    "str": str,
    "bool": bool,
    "int": int,
    "float": float,
    "array": list,
    "object": dict,
    "null": NoneType,
}
_WORDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text, in quotes where it looks like something else",
    Duration: "a duration such as 10s, 1h30m or 500ms",
}


def explain(finding: str, document: object, kind: type) -> str:
    """One sentence for the text of a ValidationError about `document`, which was to become a `kind`."""
    parsed = _FINDING.fullmatch(finding)
    assert parsed is not None
    what, path = parsed["what"], parsed["path"] or ""
    missing = _MISSING.fullmatch(what)
    if missing:
        path += f".{missing[1]}"
    got = _GOT.fullmatch(what)
    value, place, wanted = document, "", kind
    for name, index in _STEP.findall(path):
        value, step, wanted = _descend(value, name or index, wanted, got[1] if got else "")
        place += step
    place = place.removeprefix(".")
    expected = _expected(wanted)
    return f"{place}: missing, expected {expected}" if missing else f"{place}: {shown(value)}, expected {expected}"


def shown(value: object) -> str:
    """A value as it may stand in a file, cut where it is long; of what has members the kind: one may be secret."""
    if isinstance(value, dict | list):
        return "a map" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _descend(value: Any, step: str, kind: Any, got: str) -> tuple[object, str, Any]:
    """The member, how it is written in a key, and what it was to become."""
    if isinstance(value, list):
        return value[int(step)], f"[{step}]", _inner(kind)
    if step == "...":  # msgspec does not say which key of a map
        step = next((key for key, member in value.items() if type(member) is _NAMES.get(got)), next(iter(value)))
        return value[step], f".{step}", _inner(kind)
    member = value.get(step) if isinstance(value, dict) else None
    return member, f".{step}", _field(kind, step)


def _field(kind: Any, name: str) -> Any:
    for section in _alternatives(kind):
        if isinstance(section, type) and issubclass(section, msgspec.Struct):
            for field in msgspec.structs.fields(section):
                if field.encode_name == name:
                    return field.type
    return object


def _inner(kind: Any) -> Any:
    """What the members of a list or the values of a map are."""
    return get_args(kind)[-1] if get_args(kind) else object


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return tuple(each for each in get_args(kind) if each is not NoneType) if isinstance(kind, UnionType) else (kind,)


def _expected(kind: Any) -> str:
    [kind, *_] = _alternatives(kind)
    origin = get_origin(kind)
    if origin is Literal:
        return f"one of {', '.join(str(choice) for choice in get_args(kind) if choice)}"
    if origin is list:
        return "a list"
    if origin is dict or (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return "a map of keys"
    return _WORDS.get(kind, "something else")
