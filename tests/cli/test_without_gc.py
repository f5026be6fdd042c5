"""`pyregistry without-gc`: a command during which no garbage collection runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pyregistry.storage.seams import layout
from tests.builders import image
from tests.cli.place import Place, run
from tests.processes import require, require_root, wait_until
from tests.storage.pushing import push_image, repository

NOBODY = 65_534
BUSY = 75


@pytest.fixture
def place(root: Path) -> Place:
    root.rmdir()
    place = Place(root.parent)
    push_image(repository(place.registry, "app"), image(b"layer"), "latest")
    return place


def start(place: Place, *command: str) -> "subprocess.Popen[bytes]":
    words = [sys.executable, "-m", "pyregistry", "without-gc", "-c", str(place.config), *command]
    return subprocess.Popen(words, stderr=subprocess.PIPE)


def collector_status(place: Place) -> int:
    return run("gc", place.config).returncode


def test_a_collection_ends_with_75_as_long_as_the_command_runs(place: Place) -> None:
    begun, end = place.data.parent / "begun", place.data.parent / "end"
    script = f"touch {begun}; while ! [ -e {end} ]; do sleep 0.05; done"
    with start(place, "sh", "-c", script) as process:
        wait_until(begun.exists, "the command runs")
        done = run("gc", place.config)
        assert done.returncode == BUSY
        assert "`pyregistry without-gc`" in done.stderr
        end.touch()
        assert process.wait(30) == 0
    assert collector_status(place) == 0


def test_the_command_keeps_collections_away_also_if_its_parent_is_killed(place: Place) -> None:
    begun, end = place.data.parent / "begun", place.data.parent / "end"
    script = f"echo $$ > {begun}.tmp; mv {begun}.tmp {begun}; while ! [ -e {end} ]; do sleep 0.05; done"
    with start(place, "sh", "-c", script) as process:
        wait_until(begun.exists, "the command runs")
        process.kill()
        process.wait(30)
        assert collector_status(place) == BUSY
        end.touch()
        wait_until(lambda: not Path(f"/proc/{begun.read_text().strip()}").exists(), "the command has ended")
    wait_until(lambda: collector_status(place) == 0, "the lock is free")


def test_a_collection_that_runs_is_waited_for(place: Place) -> None:
    begun = place.data.parent / "begun"
    with place.driver.lock("gc", exclusive=True):
        process = start(place, "touch", str(begun))
        assert process.stderr is not None
        assert process.stderr.readline() == b"pyregistry: waiting for the garbage collection that runs\n"
        assert not begun.exists()
    assert process.wait(30) == 0
    process.stderr.close()
    assert begun.exists()


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        (("true",), 0, ""),
        (("--", "sh", "-c", "exit 24"), 24, ""),
        (("sh", "-c", "exit 3"), 3, ""),
        (("sh", "-c", "kill -9 $$"), 137, ""),
        (("no-such-command",), 127, "pyregistry: no-such-command: command not found\n"),
        (("/",), 126, "pyregistry: /: Permission denied\n"),
        ((), 2, "Missing argument"),
    ],
)
def test_it_ends_as_the_command_does(place: Place, command: tuple[str, ...], status: int, said: str) -> None:
    done = run("without-gc", "-c", place.config, *command)
    assert done.returncode == status, done.stderr
    assert said in done.stderr


def test_a_signal_goes_to_the_command(place: Place) -> None:
    begun = place.data.parent / "begun"
    with start(place, "sh", "-c", f"trap 'exit 9' TERM; touch {begun}; while :; do sleep 0.05; done") as process:
        wait_until(begun.exists, "the command runs")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 9


def test_the_command_of_root_keeps_roots_rights_and_the_lock_is_the_servers(place: Place) -> None:
    require_root()
    for path in (place.data, *place.data.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    place.data.parent.chmod(0o755)
    lock = place.data / layout.LOCKS / "gc"
    lock.unlink(missing_ok=True)
    done = run("without-gc", "-c", place.config, "--", "id", "-u")
    assert done.stdout == "0\n", done.stderr
    assert (lock.stat().st_uid, lock.stat().st_gid) == (NOBODY, NOBODY)


def test_flock_of_a_shell_does_the_same_where_the_file_is_there(place: Place) -> None:
    """For the host of a container, which has no pyregistry."""
    flock = require("flock", "util-linux")
    assert collector_status(place) == 0
    begun, end = place.data.parent / "begun", place.data.parent / "end"
    script = f"touch {begun}; while ! [ -e {end} ]; do sleep 0.05; done"
    with subprocess.Popen([flock, str(place.data / layout.LOCKS / "gc"), "sh", "-c", script]) as process:
        wait_until(begun.exists, "the command runs")
        assert collector_status(place) == BUSY
        end.touch()
        assert process.wait(30) == 0
