"""A process that is stopped while it holds the locks of garbage collection stops pushes, for a while, and no pull."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.builders import OCI_MANIFEST, digest_of, image
from tests.processes import SOURCE_TREE, Server, data_directory, pyregistry_server, wait_until
from tests.push import assert_envelope
from tests.workers.http import Answer, ask, start_upload
from tests.workers.workers import workers_of

LOCK_SECONDS = 10
LATE = LOCK_SECONDS + 20
"""Seconds: a busy machine delays an answer, and an unbounded wait would have none."""
PUSHERS = 20
_HOLD = """
import sys, time
from pathlib import Path
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.local.leases import exclusive_section
with exclusive_section(FilesystemDriver(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(600)
"""
_LAYERS = [b"small", os.urandom(300_000)]
_IMAGE = image(*_LAYERS)
_OLD = image(b"with an old lease")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Two workers and two images; the leases of the second are old."""
    with pyregistry_server(tmp_path, pyregistry={"workers": 2}) as running:
        for name, pushed in (("app", _IMAGE), ("old", _OLD)):
            for blob in pushed.blobs:
                location = start_upload(running, name)
                assert ask(running, "PUT", f"{location}?digest={digest_of(blob)}", blob).status == 201
            typed = {"Content-Type": OCI_MANIFEST}
            assert ask(running, "PUT", f"/v2/{name}/manifests/v1", pushed.content, typed).status == 201
        yield running


@contextmanager
def stopped_collector(server: Server) -> Iterator[None]:
    """Another process has the locks of a collector, and is stopped (Ctrl-Z, `docker pause`)."""
    command = [sys.executable, "-c", _HOLD, str(data_directory(server.directory))]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=SOURCE_TREE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGSTOP)
        yield
    finally:
        holder.kill()
        holder.communicate()


def push(server: Server, number: int) -> tuple[Answer, float]:
    """A blob in one request, and the seconds until its answer."""
    content = f"blob {number}".encode()
    begin = time.monotonic()
    answer = ask(server, "POST", f"/v2/new/blobs/uploads/?digest={digest_of(content)}", content)
    return answer, time.monotonic() - begin


def assert_locked(answer: Answer) -> None:
    """503, and when to come again."""
    assert answer.status == 503, answer
    assert int(answer.headers["Retry-After"]) > 0
    assert_envelope(answer.body.decode(), 503, "UNAVAILABLE")


def test_reads_are_answered_while_pushes_wait_and_then_get_503(server: Server) -> None:
    with stopped_collector(server), ThreadPoolExecutor(PUSHERS) as pool:
        pushes = [pool.submit(push, server, number) for number in range(PUSHERS)]
        wait_until(lambda: len(waiting_for_locks(server)) >= PUSHERS, "all pushers wait")
        small, large = (f"/v2/app/blobs/{digest_of(layer)}" for layer in _LAYERS)
        reads = [
            ("GET", small, 200, {}),
            ("GET", large, 200, {}),
            ("GET", large, 206, {"Range": "bytes=5-100"}),
            ("GET", "/v2/app/manifests/v1", 200, {}),
            ("GET", f"/v2/old/manifests/{_OLD.digest}", 200, {}),
            ("HEAD", "/v2/app/manifests/v1", 200, {}),
            ("GET", "/v2/app/tags/list", 200, {}),
            ("GET", "/v2/_catalog", 200, {}),
            ("GET", f"/v2/app/referrers/{_IMAGE.digest}", 200, {}),
            ("GET", "/livez", 200, {}),
        ]
        for method, path, status, headers in reads * 2:
            assert ask(server, method, path, headers=headers).status == status, (method, path)
        assert not any(each.done() for each in pushes)  # all that came while they waited
        for answer, seconds in (each.result() for each in pushes):
            assert_locked(answer)
            assert LOCK_SECONDS * 0.9 < seconds < LATE
    assert push(server, PUSHERS)[0].status == 201


def test_each_kind_of_write_gets_503_and_a_head_with_an_old_lease_does(server: Server) -> None:
    layer = digest_of(b"with an old lease")
    past = time.time() - 86_400
    for link in (server.tree / "repositories/old").rglob("link"):
        os.utime(link, (past, past))
    upload = start_upload(server, "app")
    assert ask(server, "PATCH", upload, b"begun").status == 202
    typed = {"Content-Type": OCI_MANIFEST}
    writes = [
        ("HEAD", f"/v2/old/blobs/{layer}", None, {}),
        ("HEAD", f"/v2/old/manifests/{_OLD.digest}", None, {}),
        ("PUT", f"{upload}?digest={digest_of(b'begun and new')}", b" and new", {}),
        ("POST", f"/v2/new/blobs/uploads/?mount={layer}&from=old", b"", {}),
        ("POST", f"/v2/new/blobs/uploads/?mount={layer}", b"", {}),
        ("PUT", "/v2/app/manifests/v2", _IMAGE.content, typed),
    ]
    with stopped_collector(server), ThreadPoolExecutor(len(writes)) as pool:
        begin = time.monotonic()
        answers = list(pool.map(lambda row: ask(server, row[0], row[1], row[2], row[3]), writes))
        assert LOCK_SECONDS * 0.9 < time.monotonic() - begin < LATE
    for answer, (method, *_) in zip(answers, writes, strict=True):
        assert answer.status == 503
        assert "Retry-After" in answer.headers
        if method != "HEAD":
            assert_locked(answer)
    assert [ask(server, *row).status for row in writes] == [200, 200, 201, 201, 201, 201]  # the same requests again


def test_readyz_says_that_a_lock_is_held_and_livez_that_the_process_lives(server: Server) -> None:
    with stopped_collector(server):
        answer = ask(server, "GET", "/readyz")
        assert b"a lock has been held for " in answer.body
        assert answer.status == 503
        assert ask(server, "GET", "/livez").status == 200
    wait_until(lambda: ask(server, "GET", "/readyz").status == 200, "ready again")


def test_a_request_whose_client_left_stops_waiting(server: Server) -> None:
    with stopped_collector(server):
        begin = time.monotonic()
        connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(PUSHERS)]
        for number, connection in enumerate(connections):
            content = f"blob {number}".encode()
            connection.request("POST", f"/v2/new/blobs/uploads/?digest={digest_of(content)}", content)
        wait_until(lambda: len(waiting_for_locks(server)) >= PUSHERS, "all pushers wait")
        for connection in connections:
            connection.close()
        # One thread of each worker waits on for all that come later.
        most = len(workers_of(server))
        wait_until(lambda: len(waiting_for_locks(server)) <= most, "they wait no more", deadline=LOCK_SECONDS * 0.8)
        assert time.monotonic() - begin < LOCK_SECONDS  # else they would have given up by themselves


def waiting_for_locks(server: Server) -> list[Path]:
    """The descriptors of lock files that the workers have open."""
    found = []
    for pid in workers_of(server):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = entry.readlink()
            except FileNotFoundError:
                continue
            if target.parent.name == "locks":
                found.append(target)
    return found
