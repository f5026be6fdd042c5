"""Prints lines and JSON of a command.

Clients choose names, paths and media types, so a command prints them only through this module and `tables`.
"""

import json
import re

import msgspec
import typer

from pyregistry.common.visible import visible

_NOT_PLAIN = re.compile(r"[^\n -~]")


def say(line: str, *, err: bool = False) -> None:
    """Print one line, to standard error with `err`; unprintable characters are escaped."""
    typer.echo(visible(line), err=err)


def print_json(document: object, *, indent: int | None = 2) -> None:
    """Print a document as JSON, in one line without `indent`; unprintable characters are escaped."""
    plain = msgspec.to_builtins(document, enc_hook=lambda value: int(value) if isinstance(value, int) else str(value))
    # Not msgspec's encoder, which rejects the surrogates that represent bytes of a file's name.
    separators = (",", ":") if indent is None else None
    text = json.dumps(plain, ensure_ascii=False, indent=indent, separators=separators)
    typer.echo(_NOT_PLAIN.sub(_escaped_in_json, text))


def _escaped_in_json(found: re.Match[str]) -> str:
    character = found[0]
    return character if character.isprintable() else json.dumps(character)[1:-1]
