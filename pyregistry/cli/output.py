"""Lines and JSON that a command prints.

Names, paths and media types are what a pusher chose: they leave a command only through here and `tables`.
"""

import json
import re

import msgspec
import typer

from pyregistry.common.visible import visible

_NOT_PLAIN = re.compile(r"[^\n -~]")


def say(line: str, *, err: bool = False) -> None:
    """Print one line, to standard error with `err`; what is not printable in it is shown escaped."""
    typer.echo(visible(line), err=err)


def print_json(document: object, *, indent: int | None = 2) -> None:
    """Print what `--json` asks for, in one line without `indent`; what is not printable in a string is escaped."""
    plain = msgspec.to_builtins(document, enc_hook=lambda value: int(value) if isinstance(value, int) else str(value))
    # Not msgspec's encoder, which refuses the surrogates that stand for the bytes of a file's name.
    separators = (",", ":") if indent is None else None
    text = json.dumps(plain, ensure_ascii=False, indent=indent, separators=separators)
    typer.echo(_NOT_PLAIN.sub(_escaped_in_json, text))


def _escaped_in_json(found: re.Match[str]) -> str:
    character = found[0]
    return character if character.isprintable() else json.dumps(character)[1:-1]
