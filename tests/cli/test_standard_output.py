"""Standard output that is closed, full or without a reader: a status and at most one sentence, from every command."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from pyregistry.storage.local import volumes
from pyregistry.storage.local.filesystem import FilesystemDriver
from tests.cli.commands import ours
from tests.cli.running import write_config
from tests.forked import Process
from tests.fsck.trees import fill
from tests.processes import free_port, wait_until
from tests.storage.pushing import registry_on

COMMANDS = (
    ("ls", "-c"),
    ("ls", "--json", "-c"),
    ("du",),
    ("gc",),
    ("gc", "--json"),
    ("fsck",),
    ("fsck", "--json"),
    ("rm", "other", "--dry-run", "-c"),
    ("check-config",),
    ("access", "check", "anonymous", "pull", "team/app", "-c"),
)
REASONS = {
    ">/dev/full": "No space left on device",
    ">&-": "it is closed",
    "| true": "its reader has closed it",
}


@pytest.fixture
def config(root: Path) -> Path:
    config = write_config(root.parent)
    root.mkdir(exist_ok=True)
    volumes.note_mounted(FilesystemDriver(root))
    fill(registry_on(FilesystemDriver(root)))
    return config


def run(words: Sequence[str | Path], redirection: str, directory: Path) -> tuple[int, str]:
    """Return the status and what is on standard error."""
    command = [*ours("pyregistry"), *map(str, words)]
    if redirection == ">&-":  # Python looks at its streams when it starts, so it is no fork
        command = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
        return done.returncode, done.stderr
    output = os.open("/dev/full", os.O_WRONLY) if redirection == ">/dev/full" else _without_reader()
    with Path(os.devnull).open() as nothing, (directory / "errors").open("wb") as errors:
        process = Process(command, (nothing.fileno(), output, errors.fileno()))
        os.close(output)
        status = process.wait(60)
    return status, (directory / "errors").read_text()


def _without_reader() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("redirection", REASONS)
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_says_it_in_one_line_and_is_silent_where_its_reader_has_seen_enough(
    config: Path, tmp_path: Path, words: Sequence[str], redirection: str
) -> None:
    status, said = run([*words, config], redirection, tmp_path)
    lines = [line for line in said.splitlines() if not line.startswith(("warning", "Deleting"))]
    is_seen_enough = redirection.startswith("|") and words[0] in {"ls", "du", "check-config", "access"}
    assert lines == [f"pyregistry: cannot write to standard output: {REASONS[redirection]}"][is_seen_enough:]
    assert status == 74


@pytest.mark.parametrize("redirection", REASONS)
def test_a_command_that_prints_nothing_does_not_notice(config: Path, tmp_path: Path, redirection: str) -> None:
    assert run(["gc", "-q", config], redirection, tmp_path)[0] == 0


def test_under_the_other_name_it_is_the_same(config: Path) -> None:
    words = [*ours("registry"), "garbage-collect", str(config)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (74, "cannot write to standard output: No space left on device\n")


def test_a_server_runs_without_standard_output_and_gives_its_number_to_no_file(tmp_path: Path) -> None:
    port = free_port()
    config = write_config(tmp_path, http={"addr": f"127.0.0.1:{port}"})
    words = ["sh", "-c", 'exec "$@" <&- >&-', "sh", sys.executable, "-m", "pyregistry", "serve", str(config)]

    def answers() -> bool:
        with suppress(OSError):
            return bool(urlopen(f"http://127.0.0.1:{port}/v2/", timeout=5).status == 200)
        return False

    with (tmp_path / "log").open("wb") as log, subprocess.Popen(words, stderr=log) as process:
        try:
            wait_until(answers, "the server listens")
            assert [str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) for number in (0, 1)] == ["/dev/null"] * 2
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
