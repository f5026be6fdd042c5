"""docs/settings.md: every key of the config, from the structs that carry the keys out.

`python -m tests.settings` compares the page with the source, `--write` writes it.
"""

import argparse
import ast
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from pyregistry.config.error_messages import alternatives, is_section
from pyregistry.config.known_keys import SURFACE, AnyMap, Key, ListOf, Surface
from pyregistry.config.schema import Config
from pyregistry.config.unknown import OWN
from pyregistry.config.values import Duration
from tests.processes import SOURCE_TREE

PAGE = SOURCE_TREE / "docs/settings.md"
BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->\n"
_WORDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    object: "any value",
    Duration: "duration",
}
_UNITS = {"h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True)
class Setting:
    """A row of the page."""

    key: str
    kind: str
    default: str
    unit: str
    meaning: str

    @property
    def variable(self) -> str:
        """The variable that sets the key, if one does; an item of a list is counted from 0."""
        if self.key == "version":
            return ""
        return "REGISTRY_" + self.key.replace("[]", ".0").replace("-", "").replace(".", "_").upper()

    @property
    def origin(self) -> str:
        """Return CNCF for a key of that registry, ours for one of this."""
        return "ours" if self.key.startswith(f"{OWN}.") else "CNCF"


@cache
def settings() -> tuple[Setting, ...]:
    """Every key that is carried out, in the order of the structs."""
    return tuple(_of_section(Config, ""))


def _of_section(kind: Any, path: str) -> Iterator[Setting]:
    meanings = _meanings(kind)
    for field in msgspec.structs.fields(kind):
        place = f"{path}.{field.encode_name}" if path else field.encode_name
        [first, *_] = alternatives(field.type)
        if is_section(first) and not first.__struct_fields__:
            meaning = inspect.cleandoc(first.__doc__ or "").partition(": ")[2]
            yield Setting(place, "empty map", "none", "", meaning[:1].upper() + meaning[1:])
        elif is_section(first):
            yield from _of_section(first, place)
        else:
            yield Setting(place, _kind(field.type), _default(field), _unit(field.type), meanings[field.name])
        if get_origin(first) is list and is_section(get_args(first)[0]):
            yield from _of_section(get_args(first)[0], f"{place}[]")


def _meanings(kind: type) -> dict[str, str]:
    """The docstrings of a struct's fields, which Python does not keep."""
    [node] = ast.parse(inspect.getsource(kind)).body
    assert isinstance(node, ast.ClassDef)
    found = {}
    for field, below in zip(node.body, node.body[1:], strict=False):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            assert isinstance(below, ast.Expr)
            assert isinstance(below.value, ast.Constant)
            found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def _kind(kind: Any) -> str:
    if get_origin(kind) is Annotated and get_args(kind)[1].description:
        return str(get_args(kind)[1].description).removeprefix("a ")
    return " or ".join(_kind_of_one(each) for each in alternatives(kind))


def _kind_of_one(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in inner if choice)
    if origin is list:
        return "list of maps" if is_section(inner[0]) else f"list: {_kind(inner[0])}"
    if origin is dict:
        return f"map: {_kind(inner[1])}"
    return _WORDS[kind]


def _unit(kind: Any) -> str:
    if kind is Duration:
        return "`h`, `m`, `s`, `ms`"
    remarks = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
    return next((remark.extra["unit"] for remark in remarks if remark.extra), "")


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "needed"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if isinstance(value, Duration):
        return f"`{_duration(value)}`"
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _duration(value: Duration) -> str:
    unit, seconds = next(((unit, size) for unit, size in _UNITS.items() if value and value % size == 0), ("s", 1))
    return f"{value / seconds:g}{unit}"


def not_carried_out(surface: Surface = SURFACE, path: str = "") -> Iterator[tuple[str, str]]:
    """Every other key that is accepted, or refused for what it asks, with what happens instead."""
    known = {setting.key.partition("[]")[0] for setting in settings()}
    if isinstance(surface, Mapping):
        for key, below in surface.items():
            yield from not_carried_out(below, f"{path}.{key}" if path else key)
        return
    if isinstance(surface, Key | ListOf) and surface.note:
        yield path, f"{'refused: ' if isinstance(surface, Key) and surface.rejected else ''}{surface.note}"
    elif isinstance(surface, Key | AnyMap) and path not in known:
        yield path, _WITHOUT_SENTENCE.get(path, "accepted: what it asks for is so anyway")


_CLOUD = "refused: the driver is not supported"
_WITHOUT_SENTENCE = {
    **{f"storage.{name}": _CLOUD for name, of in SURFACE["storage"].items() if isinstance(of, AnyMap)},  # type: ignore[union-attr] # a section
    "loglevel": "`log.level`",
    "auth.none": "accepted: all clients are anonymous, and `pyregistry.access` without passwords is meant",
    "redis": "accepted: the caches of this registry need none",
    "validation.enabled": "accepted: content is validated unless `validation.disabled` is set",
}


def body() -> str:
    """The part of the page between the two marks."""
    lines: list[str] = []
    section = ""
    for setting in settings():
        top = setting.key.partition(".")[0]
        if top != section:
            section = top
            lines += ["", f"## {top}", ""]
            lines += ["| key | variable | type | default | unit | meaning | from |", "|---|---|---|---|---|---|---|"]
        variable = f"`{setting.variable}`" if setting.variable else "none"
        cells = [f"`{setting.key}`", variable, setting.kind, setting.default, setting.unit]
        lines.append(f"| {' | '.join([*cells, setting.meaning, setting.origin])} |")
    lines += ["", "## Keys of the CNCF registry that are not supported", "", "| key | what happens |", "|---|---|"]
    lines += [f"| `{key}` | {instead} |" for key, instead in sorted(not_carried_out())]
    return "\n".join([*lines[1:], ""])


def main(arguments: Sequence[str]) -> int:
    """Compare the page with the source, or write it; 0 if they agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/settings.md")
    options = parser.parse_args(arguments)
    page = PAGE.read_text()
    if BEGIN not in page or END not in page:
        raise SystemExit(f"{PAGE} has no {BEGIN.strip()} … {END.strip()}")
    head, _, rest = page.partition(BEGIN)
    expected = f"{head}{BEGIN}{body()}{END}{rest.partition(END)[2]}"
    if options.write:
        PAGE.write_text(expected)
    elif page != expected:
        print(f"{PAGE} does not agree with the source: make settings")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
