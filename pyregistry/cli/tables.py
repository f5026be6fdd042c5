"""Tables: drawn on a terminal, plain columns for a program."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pyregistry.common.visible import visible

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?([kMGT]?)(i?)B?", re.ASCII | re.IGNORECASE)
_FORGES_A_COLUMN = re.compile(r"^ |(?<= ) | $")
"""A space at the beginning, after another one, or at the end."""
_LEAST = 8
"""Minimum characters of a cell, even on a very narrow terminal."""
_POWERS: Mapping[str, int] = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class ByteCount(int):
    """A number of bytes: with a unit on a terminal, a bare number for a program."""


class Moment(int):
    """A time in seconds since the epoch."""

    @property
    def text(self) -> str:
        """The time in RFC 3339, UTC."""
        return datetime.fromtimestamp(self, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Cell = str | int


def is_terminal() -> bool:
    """Return True if a person is reading."""
    return sys.stdout.isatty()


@dataclass(frozen=True, slots=True)
class Narrower:
    """A way to make a table narrower: shorten the cells of a column, or drop it without `shorten`."""

    column: str
    shorten: Callable[[str], str] | None = None


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], narrowers: Sequence[Narrower] = ()) -> None:
    """Draw a table on a terminal; else print a line for each row, the cells separated by two or more spaces.

    On a terminal cells are not wrapped. On a narrow one the `narrowers` are applied in order until the table fits. Then
    the longest cells of its widest column are cut.
    """
    if is_terminal():
        _draw(columns, rows, narrowers)
        return
    lines = [list(columns), *([_for_programs(cell) for cell in row] for row in rows)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(columns))]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _draw(columns: Sequence[str], rows: Sequence[Sequence[Cell]], narrowers: Sequence[Narrower]) -> None:
    console = Console()
    texts = {name: [visible(_for_people(row[number])) for row in rows] for number, name in enumerate(columns)}
    numbers = {name for name, cell in zip(columns, rows[0] if rows else (), strict=False) if _is_number(cell)}
    narrow(texts, narrowers, console.width)
    table = Table(box=None, pad_edge=False)
    for name in texts:
        table.add_column(name, justify="right" if name in numbers else "left", no_wrap=True)
    for cells in zip(*texts.values(), strict=True):
        table.add_row(*map(Text, cells))  # not str: that is markup to rich
    console.print(table)


def narrow(texts: dict[str, list[str]], narrowers: Sequence[Narrower], width: int) -> None:
    """Narrow a table to this width in characters; `texts` has the cells of each column by its name."""
    for narrower in narrowers:
        if _excess(texts, width) <= 0:
            return
        if narrower.shorten is None:
            del texts[narrower.column]
        else:
            texts[narrower.column] = [narrower.shorten(text) for text in texts[narrower.column]]
    excess = _excess(texts, width)
    if excess > 0:
        name = max(texts, key=lambda name: _width(name, texts[name]))
        most = max(_width(name, texts[name]) - excess, _LEAST)
        texts[name] = [set_cell_size(text, most - 1) + "…" if cell_len(text) > most else text for text in texts[name]]


def _excess(texts: Mapping[str, list[str]], width: int) -> int:
    return sum(_width(name, cells) for name, cells in texts.items()) + 2 * (len(texts) - 1) - width


def _width(name: str, cells: list[str]) -> int:
    return max(map(cell_len, (name, *cells)))


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int) and not isinstance(cell, Moment)


def human_size(size: int) -> str:
    """Return bytes in the unit with one to three digits before the point: 1.5 GB."""
    value, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(value) < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"


def parse_size(value: str) -> float:
    """Return the bytes of 50MB, 1.5 GiB or a plain number; raise typer.BadParameter."""
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise typer.BadParameter("a size is a number with a unit, such as 50MB or 1GiB")
    number, unit, binary = match.groups()
    return float(number) * float((1024 if binary else 1000) ** _POWERS[unit.lower()])


def _for_people(cell: Cell) -> str:
    if isinstance(cell, ByteCount):
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
