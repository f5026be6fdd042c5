"""A worker that hangs is replaced; one that the system does not let run loses nothing."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyregistry.api.transport import watchdog
from pyregistry.api.transport.watchdog import Heartbeat, Watchdog
from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.builders import digest_of
from tests.processes import Server, pyregistry_server, wait_until
from tests.workers.http import ask, start_upload
from tests.workers.workers import workers_of

SERVE = """
import signal, sys, time
from pyregistry.api.transport import watchdog
watchdog.SILENCE_SECONDS = 3.0
def hang(*_):
    while True:
        pass
signal.signal(signal.SIGRTMIN, hang)
signal.signal(signal.SIGRTMIN + 1, lambda *_: time.sleep(3600))
from pyregistry.cli import main
main()
"""
"""A server that calls a silence of 3 s a hang, and whose event loop hangs on request: busy, and asleep."""
FOREIGN_WORDS = ("gunicorn", "WORKER TIMEOUT", "asyncio", "socket.send() raised", "Task was destroyed", "Traceback")
_CHUNK = b"x" * 300_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = pyregistry_server(tmp_path, pyregistry={"workers": 2})
    server.command[1:3] = ["-c", SERVE]
    with server:
        wait_until(lambda: len(workers_of(server)) == 2, "both workers run")
        yield server
        assert not [word for word in FOREIGN_WORDS if word in server.output()], server.output()


def everyone(server: Server) -> list[int]:
    return [server.pid, *workers_of(server)]


def stop_for(pids: list[int], seconds: float) -> None:
    """Let the processes not run for this long, and then again."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def upload(server: Server, name: str) -> Iterator[http.client.HTTPConnection]:
    """An upload whose first half has arrived, and whose second half follows when the block ends; it must succeed."""
    location = start_upload(server, name)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.putrequest("PATCH", location)
    connection.putheader("Content-Length", str(20 * len(_CHUNK)))
    connection.endheaders()
    for _ in range(10):
        connection.send(_CHUNK)
    wait_until(lambda: ask(server, "GET", location).headers["Range"] != "0-0", "bytes arrive")
    yield connection
    for _ in range(10):
        connection.send(_CHUNK)
    assert connection.getresponse().status == 202
    answer = ask(server, "PUT", f"{location}?digest={digest_of(20 * _CHUNK)}")
    assert answer.status == 201
    connection.close()


@pytest.mark.parametrize("who", ["all", "the workers", "one worker"])
def test_a_stall_in_the_middle_of_an_upload_costs_time_only(server: Server, who: str) -> None:
    workers = workers_of(server)
    with upload(server, "app"):
        stopped = {"all": everyone(server), "the workers": workers, "one worker": workers[:1]}[who]
        stop_for(stopped, 3 * 3.0)
        time.sleep(1)
    assert workers_of(server) == workers


@pytest.mark.parametrize("how", [0, 1], ids=["busy", "asleep"])
def test_a_worker_whose_event_loop_hangs_is_replaced_and_the_log_says_so(server: Server, how: int) -> None:
    worker, other = workers_of(server)
    os.kill(worker, signal.SIGRTMIN + how)
    wait_until(lambda: worker not in workers_of(server), "it is killed", 60)
    wait_until(lambda: len(workers_of(server)) == 2, "it is replaced")
    assert other in workers_of(server)
    assert ask(server, "GET", "/v2/").status == 200
    [line] = [line for line in server.output().splitlines() if "hangs" in line]
    assert "a worker hangs and is replaced" in line
    assert f"worker={worker}" in line


def test_a_worker_that_was_killed_is_one_line_of_the_log(server: Server) -> None:
    worker = workers_of(server)[0]
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: "a worker was killed" in server.output(), "the log says so")
    [line] = [line for line in server.output().splitlines() if "a worker was killed" in line]
    assert f"worker={worker}" in line
    assert "signal=SIGKILL" in line


def test_a_worker_that_is_aborted_ends_with_a_status(server: Server) -> None:
    worker = workers_of(server)[0]
    os.kill(worker, signal.SIGABRT)
    wait_until(lambda: "a worker ended" in server.output(), "the log says so")
    [line] = [line for line in server.output().splitlines() if "a worker ended" in line]
    assert f"worker={worker}" in line
    assert "status=1" in line


def test_a_worker_whose_last_requests_take_long_is_not_taken_for_one_that_hangs(server: Server) -> None:
    with upload(server, "app"):
        before = set(workers_of(server))
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: len(before & set(workers_of(server))) == 1, "only the worker of that request is left")
        [worker] = before & set(workers_of(server))
        time.sleep(3 * 3.0)
        assert worker in workers_of(server)


class Clock:
    """Seconds, set by a test."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def process(code: str) -> Iterator[int]:
    """A process of Python that says when it has begun."""
    words = [sys.executable, "-c", f"print(flush=True)\n{code}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        try:
            started.stdout.readline()
            yield started.pid
        finally:
            started.kill()


BUSY = "while True: pass"
ASLEEP = "import time; time.sleep(3600)"


def looks(pid: int, clock: Clock, heartbeat: Heartbeat, step: float, number: int) -> bool:
    """Look so many times, that many seconds apart, at a process; return whether it was called hanging."""
    dog = Watchdog(clock)
    for _ in range(number):
        if dog.hanging({pid: heartbeat}):
            return True
        clock.now += step
    return False


@pytest.fixture
def silent() -> Iterator[Heartbeat]:
    """The heartbeat of one that has started, and beats no more."""
    heartbeat = Heartbeat()
    heartbeat.notify()
    yield heartbeat
    heartbeat.close()


def test_one_that_sleeps_on_hangs(silent: Heartbeat) -> None:
    with process(ASLEEP) as pid:
        wait_until(lambda: watchdog._usage(pid).state == "S", "it sleeps")  # type: ignore[union-attr] # it lives
        assert looks(pid, Clock(), silent, 1.0, 40)
        assert not looks(pid, Clock(), silent, 1.0, 30)


def test_one_that_is_stopped_does_not_hang_however_long(silent: Heartbeat) -> None:
    for code in (ASLEEP, BUSY):
        with process(code) as pid:
            os.kill(pid, signal.SIGSTOP)
            wait_until(lambda: watchdog._usage(pid).state == "T", "it is stopped")  # type: ignore[union-attr] # it lives
            assert not looks(pid, Clock(), silent, 1.0, 1000)


def test_one_that_got_no_processor_does_not_hang(silent: Heartbeat) -> None:
    """The test's clock moves by hours while the process gets the processor for a moment."""
    with process(BUSY) as pid:
        assert not looks(pid, Clock(), silent, 1.0, 1000)


def test_time_in_which_the_watchdog_itself_did_not_run_is_not_counted(silent: Heartbeat) -> None:
    with process(ASLEEP) as pid:
        wait_until(lambda: watchdog._usage(pid).state == "S", "it sleeps")  # type: ignore[union-attr] # it lives
        assert not looks(pid, Clock(), silent, 3600.0, 15)
        assert looks(pid, Clock(), silent, 3600.0, 20)


def test_one_that_beats_or_has_not_begun_to_does_not_hang() -> None:
    clock, dog, heartbeat = Clock(), Watchdog(), Heartbeat()
    with process(ASLEEP) as pid:
        assert not looks(pid, clock, heartbeat, 1.0, 100)
        dog = Watchdog(clock)
        for _ in range(100):
            assert not dog.hanging({pid: heartbeat})
            clock.now += 1
            heartbeat.notify()
    heartbeat.close()


def test_one_that_never_begins_to_beat_hangs_later() -> None:
    heartbeat = Heartbeat()
    with process(ASLEEP) as pid:
        wait_until(lambda: watchdog._usage(pid).state == "S", "it sleeps")  # type: ignore[union-attr] # it lives
        assert not looks(pid, Clock(), heartbeat, 1.0, 120)
        assert looks(pid, Clock(), heartbeat, 1.0, 130)
    heartbeat.close()


@pytest.mark.parametrize("kind", ["a FIFO", "nothing"])
def test_a_worker_starts_while_the_htpasswd_file_cannot_be_used(tmp_path: Path, kind: str) -> None:
    users = tmp_path / "htpasswd"
    write_htpasswd(users, {"alice": "secret"})
    with pyregistry_server(tmp_path, pyregistry={"workers": 1}, auth=auth_section(users)) as server:
        assert ask(server, "GET", "/v2/", headers=basic("alice", "secret")).status == 200
        [worker] = workers_of(server)
        users.unlink()
        if kind == "a FIFO":
            os.mkfifo(users, 0o600)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: workers_of(server) not in ([], [worker]), "another one is there")
        assert ask(server, "GET", "/v2/", headers=basic("alice", "secret")).status == 200  # for up to a minute


def test_one_that_has_ended_does_not_hang(silent: Heartbeat) -> None:
    with process(ASLEEP) as pid:
        pass
    assert not looks(pid, Clock(), silent, 1.0, 100)
