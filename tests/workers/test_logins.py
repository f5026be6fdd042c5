"""Logins at a service with several workers."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyregistry.auth.bcrypt_pool import WAIT_SECONDS
from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.processes import Server, pyregistry_server, wait_until
from tests.workers.http import ask
from tests.workers.workers import seconds_of_bcrypt, workers_of

ALICE, BOB = basic("alice", "a secret"), basic("bob", "another")
CORES = max(1, len(os.sched_getaffinity(0)) // 2)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Server]:
    """Four workers; one hash takes a fifteenth of a second."""
    write_htpasswd(tmp_path / "htpasswd", {"alice": "a secret", "bob": "another"}, cost=10)
    with pyregistry_server(tmp_path, pyregistry={"workers": 4}, auth=auth_section(tmp_path / "htpasswd")) as running:
        yield running


class Flood:
    """Wrong passwords from many addresses, which no throttle stops, until the end of the block."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(6)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()
        time.sleep(0.5)

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        attempts = 0
        while not self._end.is_set():
            attempts += 1
            source = f"127.0.{number + 1}.{attempts % 250 + 1}"
            try:
                ask(self._server, "GET", "/v2/", headers=basic("alice", f"{number} {attempts}"), source=source)
            except OSError:  # its worker was killed
                continue


def test_a_flood_of_wrong_passwords_takes_half_of_the_processors_at_most(guarded: Server) -> None:
    with Flood(guarded):
        begin, used = time.monotonic(), seconds_of_bcrypt(guarded)
        time.sleep(3)
        used = seconds_of_bcrypt(guarded) - used
        elapsed = time.monotonic() - begin
    assert 0.1 < used / elapsed <= CORES * 1.05


def test_a_login_gets_its_turn_in_a_flood_from_many_addresses(guarded: Server) -> None:
    with Flood(guarded):
        for headers in [ALICE, BOB] * 3:
            begin = time.monotonic()
            assert ask(guarded, "GET", "/v2/", headers=headers).status == 200
            assert time.monotonic() - begin < WAIT_SECONDS


def test_a_worker_killed_in_the_middle_of_a_hash_does_not_take_the_turn_with_it(guarded: Server) -> None:
    with Flood(guarded):
        for _ in range(6):
            os.kill(workers_of(guarded)[0], signal.SIGKILL)
            time.sleep(0.3)
    for _ in range(8):
        wait_until(lambda: ask(guarded, "GET", "/v2/", headers=BOB).status == 200, "bob gets in")


def test_a_worker_that_replaces_another_while_the_file_is_gone_lets_in_no_one_who_was_removed(guarded: Server) -> None:
    """It inherits the file as it was at the start."""
    write_htpasswd(guarded.directory / "htpasswd", {"alice": "a secret"})
    wait_until(lambda: [ask(guarded, "GET", "/v2/", headers=BOB).status for _ in range(12)] == [401] * 12, "bob is out")
    (guarded.directory / "htpasswd").unlink()
    before = workers_of(guarded)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "every login is refused" in guarded.output(), "a new worker has looked at the file")
    answers: list[int] = []
    while len(answers) < 12:
        try:
            answers.append(ask(guarded, "GET", "/v2/", headers=BOB).status)
        except OSError:  # its worker was killed
            continue
    assert set(answers) == {401}
    write_htpasswd(guarded.directory / "htpasswd", {"alice": "a secret"})
    wait_until(lambda: ask(guarded, "GET", "/v2/", headers=ALICE).status == 200, "alice gets in")


def test_a_worker_that_replaces_another_knows_who_was_removed_since_the_start(guarded: Server) -> None:
    write_htpasswd(guarded.directory / "htpasswd", {"alice": "a secret"})
    wait_until(lambda: [ask(guarded, "GET", "/v2/", headers=BOB).status for _ in range(12)] == [401] * 12, "bob is out")
    for pid in workers_of(guarded):
        os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 3
    answers = set()
    while time.monotonic() < end:
        try:
            answers.add(ask(guarded, "GET", "/v2/", headers=BOB).status)
        except OSError:
            continue
    assert answers <= {401, 429}
    assert answers
    wait_until(lambda: ask(guarded, "GET", "/v2/", headers=ALICE).status == 200, "alice gets in")
