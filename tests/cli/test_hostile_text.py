"""Text that a pusher chose is shown as text: no markup, no terminal sequence, no forged row or column."""

import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyregistry.cli.output import print_json, say
from pyregistry.cli.tables import print_table
from pyregistry.common.visible import visible
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from tests import forked
from tests.builders import Image, image
from tests.cli.running import run, write_config
from tests.storage.pushing import push_image, registry_on, repository

HOSTILE = {
    "markup": "[/nope]",
    "a style": "[red]x[/red]",
    "a link": "[link=https://x.test]x[/link]",
    "a title": "\x1b]0;owned\x07",
    "a cleared screen": "\x1b[2J\x1b[H",
    "a C1 sequence": "\x9b31m",
    "a new line": "a\nb",
    "a carriage return": "a\rb",
    "a tab": "a\tb",
    "a delete": "a\x7fb",
    "a line separator": "a\u2028b",
    "text from right to left": "\u202egnp.exe",
    "isolated text": "\u2066x\u2069",
    "two columns": "linux  amd64",
    "nothing but spaces": "   ",
    "a no-break space": "a\xa0\xa0b",
}
OUR_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
VISIBLE = {
    "": "",
    "linux/amd64": "linux/amd64",
    "ünï": "ünï",
    "a\nb": r"a\nb",
    "\x1b[31m": r"\x1b[31m",
    "\x85": r"\x85",
    "\u202e": r"\u202e",
    "\udcff": r"\udcff",
    "\U000e0001": r"\U000e0001",
    "a b": "a b",
}


@pytest.mark.parametrize(("text", "shown"), VISIBLE.items(), ids=map(ascii, VISIBLE))
def test_what_cannot_be_printed_is_shown_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_has_anything_left_that_is_not_printable(text: str) -> None:
    assert visible(text).isprintable()


def printed(*columns_and_rows: str) -> list[str]:
    out = StringIO()
    with redirect_stdout(out):
        print_table(("A", "B"), [tuple(columns_and_rows)])
    return out.getvalue().split("\n")


@given(st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=())))
def test_a_row_of_a_pipe_is_one_line_and_its_columns_stay_apart(first: str, second: str) -> None:
    header, row, rest = printed(first, second)
    assert (header.split(), rest) == (["A", "B"], "")
    assert row.isprintable()
    assert len(row.split("  ", 1)) == 2
    at = header.index("B")
    assert "  " not in row[: at - 2].rstrip(" ")
    assert "  " not in row[at:]


@given(st.recursive(st.text(st.characters(exclude_categories=())), lambda inner: st.lists(inner, max_size=3)))
def test_json_stays_json_and_has_nothing_that_is_not_printable(document: object) -> None:
    out = StringIO()
    with redirect_stdout(out):
        print_json({"members": document})
    assert json.loads(out.getvalue()) == {"members": document}
    assert all(line.isprintable() for line in out.getvalue().split("\n"))


@given(st.text(st.characters(exclude_categories=())))
def test_a_line_for_the_operator_is_one_line(text: str) -> None:
    out = StringIO()
    with redirect_stderr(out):
        say(text, err=True)
    assert out.getvalue().endswith("\n")
    assert out.getvalue()[:-1].isprintable()


def image_for(system: str) -> tuple[Image, bytes]:
    """An image whose config says that it is for this system."""
    config = json.dumps({"os": system, "architecture": "amd64"}).encode()
    return image(b"layer", config=config), config


@pytest.fixture
def config(root: Path) -> Path:
    return write_config(root.parent)


@pytest.fixture
def driver(config: Path) -> FilesystemDriver:
    """A registry with an image for each hostile system."""
    driver = FilesystemDriver(config.parent / "data")
    name = repository(registry_on(driver), "app")
    for number, system in enumerate(HOSTILE.values()):
        pushed, _ = image_for(system)
        push_image(name, pushed, f"t{number}")
    return driver


def test_ls_has_a_row_for_each_tag_and_nothing_else(config: Path, driver: FilesystemDriver) -> None:
    lines = run("ls", "app", "-c", config).split("\n")
    assert len(lines) == len(HOSTILE) + 2
    for line in lines:
        assert line.isprintable()
        assert len(re.split(" {2,}", line)) == 7 or not line
    documents = json.loads(run("ls", "app", "--json", "-c", config))
    assert {each["platforms"][0] for each in documents} == {f"{system}/amd64" for system in HOSTILE.values()}


def at_a_terminal(*words: str | Path, kind: str = "dumb") -> bytes:
    """Return the output of a command to a terminal, 300 characters wide unless it is dumb."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 300, 0, 0))
    command = [sys.executable, "-m", "pyregistry", *map(str, words)]
    # Another test's runner may have left a width, which would count instead of the terminal's.
    inherited = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    env = {**inherited, "TERM": kind}
    written = b""
    with Path(os.devnull).open() as nothing:
        process = forked.Process(command, (nothing.fileno(), theirs, theirs), env=env)
    os.close(theirs)
    with suppress(OSError):  # the other side is closed
        while piece := os.read(ours, 65_536):
            written += piece
    process.wait(60)
    os.close(ours)
    assert b"Traceback" not in written, written.decode(errors="replace")
    return written


def test_ls_at_a_terminal_shows_markup_and_sequences_as_text(config: Path, driver: FilesystemDriver) -> None:
    written = OUR_COLOURS.sub("", at_a_terminal("ls", "app", "-c", config, kind="xterm").decode())
    assert all(line.isprintable() for line in written.replace("\r\n", "\n").split("\n"))
    for system in HOSTILE.values():
        assert visible(system).strip() in written


STRANGE = ["\x1b]0;x\x07", "a\nblob docker forged", "[nope]", "\u202eb", b"\xff\xfe".decode(errors="surrogateescape")]


@pytest.fixture
def strange(config: Path, driver: FilesystemDriver) -> Path:
    """Files and directories of strange names, which no client can push but an attacker on the volume can make."""
    for parent in (layout.REPOSITORIES, layout.repository(RepositoryName("app")), layout.TREE):
        for name in STRANGE:
            (driver.root / parent / name).mkdir()
            (driver.root / parent / name / "_manifests/tags/x").mkdir(parents=True)
    driver.write(layout.tag_current_link(RepositoryName("app"), Tag("t0")), b"\x1b[2J")
    pushed, _ = image_for("lost")
    push_image(repository(registry_on(driver), "app"), pushed, "lost")
    driver.write(layout.blob_data(Digest.of(b"layer")), b"")
    return config


COMMANDS = {
    "ls": ["ls", "-c"],
    "ls of tags": ["ls", "*", "-c"],
    "ls as JSON": ["ls", "*", "--json", "-c"],
    "du": ["du"],
    "du as JSON": ["du", "--json"],
    "rm": ["rm", "*", "--dry-run", "-c"],
    "rm as JSON": ["rm", "*", "--dry-run", "--json", "-c"],
    "fsck": ["fsck"],
    "fsck as JSON": ["fsck", "--json"],
    "gc": ["gc", "--dry-run"],
    "gc as JSON": ["gc", "--dry-run", "--json"],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_no_command_writes_what_is_not_printable(strange: Path, words: list[str]) -> None:
    command = [sys.executable, "-m", "pyregistry", *words, str(strange)]
    done = forked.run(command)
    text = (done.stdout + done.stderr).decode()
    assert "Traceback" not in text
    assert all(line.isprintable() for line in text.split("\n")), text
    assert not any(line.startswith("blob docker forged") for line in text.split("\n"))
    written = at_a_terminal(*words, strange).decode()
    assert all(line.isprintable() for line in written.replace("\r\n", "\n").replace("\r", "\n").split("\n")), written
