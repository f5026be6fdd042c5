"""The cost of a request in system calls: a lost fast path shows, and a busy machine does not.

A hop to a thread shows as `futex`, and as one more byte that the thread sends to wake the loop; a file that is read
again as `openat`.
"""

import http.client
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from pyregistry.api.transport.coalescing import BEGIN_SECONDS, COALESCE_BYTES, COALESCE_SECONDS
from pyregistry.storage.uploads.batches import BATCH_BYTES
from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.builders import OCI_MANIFEST, digest_of, image
from tests.modes import fast_path_only
from tests.processes import Server, pyregistry_server, require, wait_until
from tests.workers.http import ask, start_upload
from tests.workers.workers import workers_of

REQUESTS = 100
PIECES, PIECE, PAUSE = 500, 32 * 1024, 0.002
NOISE = 20
"""Calls that have nothing to do with a request: gunicorn's sign of life, a timer."""
BIG = random.Random(1).randbytes(3 * 1024 * 1024)  # the same in every process: its digest is in names of tests
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\(")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One worker, so that it is the one that is traced, with an image whose links are older than a second."""
    with pyregistry_server(tmp_path_factory.mktemp("hot"), pyregistry={"workers": 1}) as running:
        pushed = image(b"layer", BIG)
        for blob in pushed.blobs:
            location = start_upload(running, "app")
            assert ask(running, "PUT", f"{location}?digest={digest_of(blob)}", blob).status == 201
        typed = {"Content-Type": OCI_MANIFEST}
        assert ask(running, "PUT", "/v2/app/manifests/v1", pushed.content, typed).status == 201
        now = time.time()
        for link in running.tree.rglob("link"):
            os.utime(link, (now - 10, now - 10))
        yield running


def calls_of(server: Server, log: Path, work: Callable[[http.client.HTTPConnection], None]) -> Counter[str]:
    """The system calls of the worker while `work` runs, which has one connection for all its requests."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    work(connection)  # the caches are warm and the threads are there
    (worker,) = workers_of(server)
    words = [require("strace", "strace"), "-f", "-qq", "-o", str(log), "-p", str(worker)]
    tracer = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: traced(worker), "strace is attached")
        work(connection)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(20)
        connection.close()
    found = (_CALL.match(line) for line in log.read_text().splitlines())
    return Counter(match[1] for match in found if match is not None)


def traced(pid: int) -> bool:
    """Return True if each thread has its tracer."""
    tasks = Path(f"/proc/{pid}/task").glob("*/status")
    return all("TracerPid:\t0\n" not in task.read_text() for task in tasks)


def repeat(
    method: str, path: str, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})
) -> Callable[[http.client.HTTPConnection], None]:
    """The same request, REQUESTS times."""

    def work(connection: http.client.HTTPConnection) -> None:
        for _ in range(REQUESTS):
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            response.read()
            assert response.status == status

    return work


def push_layers(connection: http.client.HTTPConnection) -> None:
    """REQUESTS layers of 10 KiB, each in the four requests of crane, whose small bodies come with their headers."""
    for _ in range(REQUESTS):
        content = os.urandom(10 * 1024)
        ask_in_one_piece(connection, "HEAD", f"/v2/app/blobs/{digest_of(content)}", 404)
        location = ask_in_one_piece(connection, "POST", "/v2/app/blobs/uploads/", 202)
        location = ask_in_one_piece(connection, "PATCH", location, 202, content)
        ask_in_one_piece(connection, "PUT", f"{location}?digest={digest_of(content)}", 201)


def ask_in_one_piece(
    connection: http.client.HTTPConnection, method: str, path: str, status: int, body: bytes = b""
) -> str:
    """The `Location` of the answer. http.client would send headers and body apart."""
    if connection.sock is None:
        connection.connect()
    head = f"{method} {path} HTTP/1.1\r\nHost: registry\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sock.sendall(head.encode() + body)
    response = http.client.HTTPResponse(connection.sock, method=method)
    response.begin()
    response.read()
    assert response.status == status
    return response.headers.get("Location", "")


@pytest.mark.parametrize(
    ("method", "path", "stats"),
    [
        ("GET", "/v2/app/manifests/v1", 2),
        ("HEAD", "/v2/app/manifests/v1", 2),
        ("GET", f"/v2/app/manifests/{image(b'layer', BIG).digest}", 1),
        ("HEAD", f"/v2/app/manifests/{image(b'layer', BIG).digest}", 2),
        ("HEAD", f"/v2/app/blobs/{digest_of(b'layer')}", 2),
    ],
)
def test_a_hot_answer_needs_a_stat_or_two_and_no_thread(
    server: Server, tmp_path: Path, method: str, path: str, stats: int
) -> None:
    calls = calls_of(server, tmp_path / "calls", repeat(method, path))
    assert calls["newfstatat"] + calls["stat"] + calls["lstat"] + calls["statx"] == stats * REQUESTS
    assert calls["openat"] == 0
    assert calls["futex"] <= NOISE
    waiting = calls["epoll_wait"] + calls["getpid"]  # of asyncio, differently in each Python
    assert calls.total() - waiting <= (stats + 3) * REQUESTS + NOISE  # receiving, sending, a line of the log


def test_a_small_blob_costs_one_hop(server: Server, tmp_path: Path) -> None:
    calls = calls_of(server, tmp_path / "calls", repeat("GET", f"/v2/app/blobs/{digest_of(b'layer')}"))
    assert calls["openat"] == REQUESTS  # the bytes; the link is only looked at
    assert calls["sendfile"] == 0
    assert calls["sendto"] <= (2 + 1) * REQUESTS + NOISE  # head and body of the answer, and a byte from its thread


def test_a_large_blob_is_sent_by_the_kernel(server: Server, tmp_path: Path) -> None:
    calls = calls_of(server, tmp_path / "calls", repeat("GET", f"/v2/app/blobs/{digest_of(BIG)}"))
    assert calls["sendfile"] >= REQUESTS
    assert calls["read"] + calls["pread64"] <= 4 * REQUESTS + NOISE  # wake-ups; never the bytes


def push_slowly(connection: http.client.HTTPConnection) -> float:
    """PIECES with a PAUSE before each, as an engine sends them that compresses meanwhile; seconds."""
    location = ask_in_one_piece(connection, "POST", "/v2/app/blobs/uploads/", 202)
    begin = time.monotonic()

    def pieces() -> Iterator[bytes]:
        for _ in range(PIECES):
            time.sleep(PAUSE)
            yield b"x" * PIECE

    connection.request("PATCH", location, pieces(), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    response = connection.getresponse()
    response.read()
    assert response.status == 202
    return time.monotonic() - begin


@fast_path_only("pieces of a body are coalesced in the kernel")
def test_a_body_in_small_pieces_is_not_read_piece_by_piece(server: Server, tmp_path: Path) -> None:
    seconds: list[float] = []
    calls = calls_of(server, tmp_path / "calls", lambda connection: seconds.append(push_slowly(connection)))
    # On a busy machine pieces come so seldom that one is all that there is when the time to gather has gone by.
    full, overdue = PIECES * PIECE / COALESCE_BYTES, seconds[-1] / COALESCE_SECONDS
    before, woken = BEGIN_SECONDS / PAUSE, PIECES * PIECE / BATCH_BYTES * 2
    assert calls["recvfrom"] <= before + full + overdue + woken + NOISE
    assert calls["writev"] + calls["write"] <= PIECES / 10


def test_a_password_that_was_right_costs_no_thread_and_no_look_at_a_file(tmp_path: Path) -> None:
    write_htpasswd(tmp_path / "htpasswd", {"alice": "a secret"}, cost=10)
    with pyregistry_server(tmp_path, pyregistry={"workers": 1}, auth=auth_section(tmp_path / "htpasswd")) as guarded:
        work = repeat("GET", "/v2/", headers=basic("alice", "a secret"))
        # The file is looked at twice a second, by a thread: the quickest of three has the least of that. What each
        # request costs is in all of them.
        calls = min((calls_of(guarded, tmp_path / f"calls{turn}", work) for turn in range(3)), key=Counter.total)
    assert calls["openat"] == 0
    assert calls["futex"] <= NOISE
    waiting = calls["epoll_wait"] + calls["getpid"]
    assert calls.total() - waiting <= 3 * REQUESTS + 2 * NOISE  # also the file is looked at twice a second


def test_a_small_layer_costs_one_hop_for_each_of_its_four_requests(server: Server, tmp_path: Path) -> None:
    calls = calls_of(server, tmp_path / "calls", push_layers)
    assert calls["sendto"] <= (4 + 4) * REQUESTS + NOISE  # an answer each, and a byte from its thread
    # One more of each where the first layer of a prefix makes a directory.
    assert calls["fsync"] <= (6 + 1) * REQUESTS + NOISE
    # One of them finds that no collector runs, for which the mark of a rename would be.
    assert calls["openat"] <= (17 + 1) * REQUESTS + NOISE
    waiting = calls["epoll_wait"] + calls["getpid"] + calls["futex"]
    # Of these, four look at a file and its new name before each of two renames, so that a name is taken back if its
    # directory cannot be synced. They cannot be left out for a new directory: another writer may have come first. Two
    # ask which mount an upload is on, as bytes may be lost with one. Six ask whether a collector runs, one in each
    # place for marks. Three are the lock of the link: with that of the blob, many mounts of one layer would wait for
    # each other's flushes.
    assert calls.total() - waiting <= 105 * REQUESTS + NOISE


def test_a_large_body_is_written_by_the_thread_that_reads_it(server: Server, tmp_path: Path) -> None:
    content = BIG * 20

    def push(connection: http.client.HTTPConnection) -> None:
        connection.request("POST", f"/v2/app/blobs/uploads/?digest={digest_of(content)}", content)
        response = connection.getresponse()
        response.read()
        assert response.status == 201

    assert calls_of(server, tmp_path / "calls", push)["writev"] > 0  # the event loop's pieces are joined for a `write`
