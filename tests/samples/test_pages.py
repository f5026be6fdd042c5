"""Commands and lines of the log that pages name: each is one that there is."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from pyregistry.cli import app
from tests.processes import SOURCE_TREE

PAGES = [SOURCE_TREE / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md")]
PAGES += sorted((SOURCE_TREE / "docs").glob("*.md"))
_CODE = re.compile(r"^(?:```.*?^```|    .*?$)|`[^`]+`", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:^|[\s(`/])pyregistry ((?:[a-z][\w-]*)(?: [^`|;&>#\n]*)?)(?=[`|;&>#\n]|$)", re.MULTILINE)
_EVENT = "starts"
"""`pyregistry starts` is a line of the log."""
_LINES = {
    "monitoring.md": "Lines that are worth a search",
    "operations.md": "## Log lines at start and stop",
    "troubleshooting.md": "## Lines of the log",
}


def commands(text: str) -> Iterator[str]:
    """Yield the words after `pyregistry` in the code of a page; two spaces begin a comment."""
    for code in _CODE.findall(text):
        for found in _COMMAND.finditer(code):
            if found[1] != _EVENT:
                yield found[1].partition("  ")[0].partition(" -- ")[0]


def fault(line: str) -> str:
    """Return what is wrong with the words behind `pyregistry`; empty if they name a command and its options."""
    words = shlex.split(line.replace("'", "").replace("...", ""))
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name = next(iter(words), "")
        if name not in command.commands:
            return f"{name!r} is no command" if name else ""
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    options = [word.partition("=")[0] for word in words if re.match(r"--?[A-Za-z]", word)]
    letters = [f"-{letter}" for word in options if not word.startswith("--") for letter in word[1:]]
    wrong = [word for word in [*letters, *(word for word in options if word.startswith("--"))] if word not in known]
    return f"no options of it: {wrong}" if wrong else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_are_there(page: Path) -> None:
    text = page.read_text()
    assert [(line, fault(line)) for line in commands(text) if fault(line)] == []


@pytest.mark.parametrize("line", ["access config.yml", "gc config.yml --uploads-older 24h", "du -x", "collect"])
def test_a_command_that_is_not_there_is_found(line: str) -> None:
    [found] = commands(f"Say `pyregistry {line}`.")
    assert fault(found)


@pytest.mark.parametrize("page", _LINES)
def test_lines_of_the_log_that_a_page_explains_are_written(page: str) -> None:
    section = (SOURCE_TREE / "docs" / page).read_text().partition(_LINES[page])[2].partition("\n#")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    events = [event.removesuffix(": ...") for cell in cells for event in re.findall(r"`([^`]+)`", cell)]
    source = "".join(path.read_text() for path in sorted((SOURCE_TREE / "pyregistry").rglob("*.py")))
    source = re.sub(r'"\n\s+f?"', "", source)
    assert events
    assert [event for event in events if event not in source] == []
