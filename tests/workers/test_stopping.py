"""Signals, dying workers and restarts."""

import http.client
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import digest_of
from tests.processes import Server, wait_until
from tests.workers.http import ask, start_upload
from tests.workers.workers import workers_of

_CHUNK = b"x" * 300_000


def _has_ended(server: Server) -> bool:
    """True as soon as the process is only waited for."""
    return Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0_within_seconds_and_without_a_traceback(
    server: Server, number: signal.Signals
) -> None:
    assert ask(server, "GET", "/v2/").status == 200
    os.kill(server.pid, number)
    wait_until(lambda: _has_ended(server), "it ends", deadline=10)
    assert server.stop() == 0
    assert "Traceback" not in server.output()


def test_sigterm_lets_a_running_request_end(server: Server) -> None:
    location = start_upload(server, "app")

    def slowly() -> Iterator[bytes]:
        for _ in range(10):  # more than is gathered before it is written
            yield _CHUNK
        wait_until(lambda: ask(server, "GET", location).headers["Range"] != "0-0", "bytes arrive")
        os.kill(server.pid, signal.SIGTERM)
        time.sleep(1)
        yield _CHUNK

    answer = ask(server, "PATCH", location, slowly())
    assert (answer.status, answer.headers["Range"]) == (202, f"0-{11 * len(_CHUNK) - 1}")
    assert server.stop() == 0
    server.start()
    assert ask(server, "PUT", f"{location}?digest={digest_of(11 * _CHUNK)}").status == 201


def test_an_upload_that_sigterm_cut_is_resumed_after_the_restart(server: Server) -> None:
    location = start_upload(server, "app")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest("PATCH", location)
    connection.putheader("Content-Length", "1000000000")
    connection.endheaders()
    for _ in range(10):
        connection.send(_CHUNK)
    wait_until(lambda: ask(server, "GET", location).headers["Range"] != "0-0", "bytes arrive")
    os.kill(server.pid, signal.SIGTERM)
    connection.close()
    assert server.stop() == 0
    server.start()
    kept = int(ask(server, "GET", location).headers["Range"].removeprefix("0-")) + 1
    assert 0 < kept <= 10 * len(_CHUNK)
    content = 11 * _CHUNK
    rest = content[kept:]
    answer = ask(server, "PATCH", location, rest, {"Content-Range": f"{kept}-{len(content) - 1}"})
    assert answer.status == 202
    assert ask(server, "PUT", f"{location}?digest={digest_of(content)}").status == 201


def test_open_uploads_survive_a_restart_and_a_kill(server: Server) -> None:
    locations = [start_upload(server, f"app{number}") for number in range(4)]
    for location in locations:
        assert ask(server, "PATCH", location, _CHUNK).status == 202
    server.restart()
    for location in locations[:2]:
        assert ask(server, "PUT", f"{location}?digest={digest_of(_CHUNK)}").status == 201
    server.kill()
    server.start()
    for location in locations[2:]:
        assert ask(server, "GET", location).headers["Range"] == f"0-{len(_CHUNK) - 1}"
        assert ask(server, "PUT", f"{location}?digest={digest_of(2 * _CHUNK)}", _CHUNK).status == 201


def test_a_killed_worker_is_replaced_and_the_service_goes_on(server: Server) -> None:
    location = start_upload(server, "app")
    assert ask(server, "PATCH", location, _CHUNK).status == 202
    for _ in range(3):
        wait_until(lambda: len(workers_of(server)) == 4, "four workers run")
        before = workers_of(server)
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: before[0] not in workers_of(server), "the killed worker is gone")  # noqa: B023 - called within this turn
        for _ in range(8):
            assert ask(server, "GET", "/v2/").status == 200
        wait_until(lambda: len(workers_of(server)) == 4, "it is replaced")
    assert ask(server, "PUT", f"{location}?digest={digest_of(_CHUNK)}").status == 201
    assert server.stop() == 0


def test_all_workers_killed_at_once_come_back(server: Server) -> None:
    wait_until(lambda: len(workers_of(server)) == 4, "four workers run")
    before = set(workers_of(server))
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(set(workers_of(server)) - before) == 4, "all are replaced")
    wait_until(server.answers, "it answers")
