"""A server whose working directory is gone, or out of its reach."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import SOURCE_TREE, Server, pyregistry_server, wait_until
from tests.workers.http import ask

ENVIRON = {**os.environ, "PYTHONPATH": str(SOURCE_TREE)}


def started_in(directory: Path, server: Server, *prefix: str) -> Server:
    """The same server, started in this directory, which a shell then removes if it is called `gone`."""
    remove = 'rmdir "$PWD"; ' if directory.name == "gone" else ""
    server.command = [
        "/bin/sh",
        "-c",
        f'cd "$1"; {remove}shift; exec "$@"',
        "sh",
        str(directory),
        *prefix,
        *server.command,
    ]
    server.env = {**(server.env or {}), "PYTHONPATH": str(SOURCE_TREE)}
    return server


def test_a_server_starts_in_a_directory_that_was_removed(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    with started_in(tmp_path / "gone", pyregistry_server(tmp_path)) as server:
        assert ask(server, "GET", "/v2/").status == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give up a right of root's")
def test_a_server_starts_in_a_directory_that_its_user_cannot_reach(tmp_path: Path) -> None:
    place = tmp_path / "private"
    (place / "inner").mkdir(parents=True)
    os.chown(place, 1, 1)
    place.chmod(0o700)
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    with started_in(place / "inner", pyregistry_server(tmp_path), *drop) as server:
        assert ask(server, "GET", "/v2/").status == 200


def test_a_server_stays_when_its_directory_is_removed(tmp_path: Path) -> None:
    place = tmp_path / "later"
    place.mkdir()
    with started_in(place, pyregistry_server(tmp_path)) as server:
        shutil.rmtree(place)
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "config reloaded" in server.output(), "it is reloaded")
        assert ask(server, "GET", "/v2/").status == 200


@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_a_path_that_begins_in_a_removed_directory_is_refused(tmp_path: Path, command: str) -> None:
    config = tmp_path / "config.yml"
    config.write_text("version: 0.1\nstorage: {filesystem: {rootdirectory: ./storage}}\nhttp: {addr: '127.0.0.1:0'}\n")
    (tmp_path / "gone").mkdir()
    words = ["/bin/sh", "-c", 'cd "$1"; rmdir "$PWD"; shift; exec "$@"', "sh", str(tmp_path / "gone")]
    done = subprocess.run(
        [*words, sys.executable, "-m", "pyregistry", command, str(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=ENVIRON,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"pyregistry: {config}: storage.filesystem.rootdirectory: './storage' begins in the working directory, "
        "which is lost (No such file or directory); use an absolute path\n"
    )
