"""Tables: drawn on a terminal, plain columns for a program."""

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pyregistry.visible import visible

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?([kMGT]?)(i?)B?", re.ASCII | re.IGNORECASE)
_FORGES_A_COLUMN = re.compile(r"^ |(?<= ) | $")
"""A space at the beginning, behind another one, or at the end."""
_POWERS: Mapping[str, int] = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class Bytes(int):
    """A number of bytes: with a unit on a terminal, a bare number for a program."""


class Moment(int):
    """A time in seconds since the epoch."""

    @property
    def text(self) -> str:
        """RFC 3339, UTC."""
        return datetime.fromtimestamp(self, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Cell = str | int


def is_terminal() -> bool:
    """Whether a person is reading."""
    return sys.stdout.isatty()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Draw it on a terminal; else one line for each row, the cells apart by two spaces or more, below their names."""
    if is_terminal():
        table = Table(*columns, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*(Text(visible(_for_people(cell))) for cell in row))  # not str: that is markup to rich
        for column, cell in zip(table.columns, rows[0] if rows else (), strict=False):
            column.justify = "right" if isinstance(cell, int) and not isinstance(cell, Moment) else "left"
            column.overflow = "fold"
        Console().print(table)
        return
    lines = [list(columns), *([_for_programs(cell) for cell in row] for row in rows)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(columns))]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def human_size(size: int) -> str:
    """Bytes in the unit that leaves one to three digits before the point: 1.5 GB."""
    value, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(value) < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"


def parse_size(value: str) -> float:
    """50MB, 1.5 GiB or a number of bytes; raises typer.BadParameter."""
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise typer.BadParameter("a size is a number with a unit, such as 50MB or 1GiB")
    number, unit, binary = match.groups()
    return float(number) * float((1024 if binary else 1000) ** _POWERS[unit.lower()])


def _for_people(cell: Cell) -> str:
    if isinstance(cell, Bytes):
        return human_size(cell)
    if isinstance(cell, Moment):
        return datetime.fromtimestamp(cell).astimezone().strftime("%Y-%m-%d %H:%M")
    return str(cell)


def _for_programs(cell: Cell) -> str:
    if isinstance(cell, Moment):
        return cell.text
    if isinstance(cell, int):
        return str(int(cell))
    return _FORGES_A_COLUMN.sub(r"\\x20", visible(cell)) or "-"
