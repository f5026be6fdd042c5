"""Memory of uploads, heads and unread answers: bounded, little while they stall, given back when they end."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread

import pytest

from tests.builders import OCI_MANIFEST, digest_of, image
from tests.modes import FAST_PATH
from tests.processes import Server, pyregistry_server, wait_until
from tests.workers.http import ask

MIB = 1 << 20
_BLOCK = bytes(64 * 1024)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with pyregistry_server(tmp_path, pyregistry={"workers": 1}) as server:
        yield server
        faults = [line for line in server.faults() if '/manifests/x HTTP/1.1" 503 ' not in line]
        assert not faults, faults


def _worker(server: Server) -> int:
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    assert len(children) == 1
    return int(children[0])


def _bytes(server: Server, field: str) -> int:
    """`VmRSS`, now, or `VmHWM`, the most so far, of the worker."""
    lines = Path(f"/proc/{_worker(server)}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


class _Upload:
    def __init__(self, server: Server, stack: ExitStack, size: int) -> None:
        self._socket = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 60))
        head = self._ask(b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n\r\n")
        self.location = next(line[10:] for line in head.split(b"\r\n") if line.startswith(b"Location: "))
        self._socket.sendall(b"PATCH %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (self.location, size))

    def send(self, size: int) -> None:
        for at in range(0, size, len(_BLOCK)):
            self._socket.sendall(_BLOCK[: size - at])

    def end(self) -> bytes:
        return self._ask(b"")

    def _ask(self, data: bytes) -> bytes:
        self._socket.sendall(data)
        answer = b""
        while b"\r\n\r\n" not in answer:
            received = self._socket.recv(4096)
            assert received
            answer += received
        return answer


def test_uploads_that_stall_hold_nearly_nothing_and_less_when_they_are_gone(server: Server) -> None:
    before = _bytes(server, "VmRSS")
    with ExitStack() as stack:
        for _ in range(200):
            _Upload(server, stack, 10 * MIB).send(1_100_000)
        data = server.tree / "repositories/app/_uploads"
        wait_until(
            lambda: sum(file.stat().st_size for file in data.glob("*/data")) == 200 * 1_100_000, "all is written"
        )
        wait_until(lambda: _bytes(server, "VmRSS") - before < 48 * MIB, "200 stalled uploads hold less than 48 MiB")
    wait_until(lambda: _bytes(server, "VmRSS") - before < 32 * MIB, "their memory is given back")


def test_many_uploads_at_once_hold_no_more_than_the_budget(server: Server) -> None:
    before = _bytes(server, "VmRSS")
    with ExitStack() as stack:
        uploads = [_Upload(server, stack, 4 * MIB) for _ in range(150)]
        answers: list[bytes] = []

        def push(some: list[_Upload]) -> None:
            for _ in range(4):  # in turn, so that all are in progress together
                for upload in some:
                    upload.send(MIB)
            answers.extend(upload.end() for upload in some)

        threads = [Thread(target=push, args=(uploads[at::10],)) for at in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 202"] * 150
    # Without the fast path, aiohttp holds up to 384 KiB of each body before it reaches the budget.
    assert _bytes(server, "VmHWM") - before < (100 if FAST_PATH else 160) * MIB


@pytest.mark.parametrize("size", [1_000, 8_000], ids=["below the limit", "above the limit"])
def test_heads_without_an_end_hold_no_more_than_the_limit(server: Server, size: int) -> None:
    before = _bytes(server, "VmRSS")
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"a" * size) for number in range(90))
    with ExitStack() as stack:
        for _ in range(200):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 60))
            with suppress(ConnectionError):
                connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + lines)
        # A request is answered after all of this has been read.
        assert server.answers()
        assert _bytes(server, "VmHWM") - before < 64 * MIB


def _ask_and_read_nothing(server: Server, stack: ExitStack, path: str) -> socket.socket:
    asking = stack.enter_context(socket.socket())
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    asking.settimeout(60)
    asking.connect(("127.0.0.1", server.port))
    asking.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
    return asking


def _begins_with(asking: socket.socket, expected: bytes) -> bool:
    """Wait for the first bytes of an answer; return False if it is another one, or missing."""
    with suppress(ConnectionError):
        return asking.recv(len(expected), socket.MSG_PEEK | socket.MSG_WAITALL) == expected
    return False


@pytest.fixture
def large(server: Server) -> bytes:
    """A manifest of 4.1 MB, which is there under the tag v1."""
    pushed = image(b"layer", annotations={"text": "x" * 4_100_000})
    for blob in pushed.blobs:
        _push(server, blob)
    assert ask(server, "PUT", "/v2/app/manifests/v1", pushed.content, {"Content-Type": OCI_MANIFEST}).status == 201
    return pushed.content


def _push(server: Server, blob: bytes) -> None:
    assert ask(server, "POST", f"/v2/app/blobs/uploads/?digest={digest_of(blob)}", blob).status == 201


@pytest.mark.parametrize("is_hot", [True, False])
def test_large_manifests_that_clients_do_not_read_are_not_held(server: Server, large: bytes, is_hot: bool) -> None:
    if is_hot:
        _age_links(server)
    assert ask(server, "GET", "/v2/app/manifests/v1").body == large
    before = _bytes(server, "VmRSS")
    with ExitStack() as stack:
        unread = [_ask_and_read_nothing(server, stack, "/v2/app/manifests/v1") for _ in range(100)]
        assert all(_begins_with(asking, b"HTTP/1.1 200") for asking in unread)
        assert _bytes(server, "VmHWM") - before < 100 * MIB
        wait_until(lambda: _bytes(server, "VmRSS") - before < 48 * MIB, "what reading them took is given back")
        assert ask(server, "GET", "/v2/app/manifests/v1").body == large
    wait_until(lambda: _bytes(server, "VmRSS") - before < 32 * MIB, "nothing of it stays")


def _age_links(server: Server) -> None:
    for link in server.tree.rglob("link"):
        os.utime(link, (1_600_000_000, 1_600_000_000))


def test_whole_lists_that_clients_do_not_read_are_bounded_in_sum(server: Server, large: bytes) -> None:
    tags = server.tree / "repositories/app/_manifests/tags"
    link = (tags / "v1/current/link").read_bytes()
    for number in range(10_000):
        current = tags / f"{number:0128}" / "current"
        current.mkdir(parents=True)
        (current / "link").write_bytes(link)
    whole = ask(server, "GET", "/v2/app/tags/list").body
    assert len(whole) > 1_300_000
    before = _bytes(server, "VmRSS")
    with ExitStack() as stack:
        unread = [_ask_and_read_nothing(server, stack, "/v2/app/tags/list") for _ in range(150)]
        assert sum(_begins_with(asking, b"HTTP/1.1 200") for asking in unread) >= 40
        # One that reads is not the one that gives way.
        assert ask(server, "GET", "/v2/app/tags/list").body == whole
        assert _bytes(server, "VmHWM") - before < 128 * MIB
    wait_until(lambda: _bytes(server, "VmRSS") - before < 48 * MIB, "nothing of it stays")


class _Manifest:
    """A push of a manifest of 4 MiB, of which the end does not come."""

    def __init__(self, server: Server, stack: ExitStack) -> None:
        self._socket = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 60))
        head = f"PUT /v2/app/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: {4 * MIB}\r\n\r\n"
        with suppress(ConnectionError):
            self._socket.sendall(head.encode() + bytes(4 * MIB - 10))

    def answer(self) -> bytes | None:
        """Return what came so far; None if nothing did."""
        self._socket.setblocking(False)
        with suppress(ConnectionError):
            try:
                return self._socket.recv(4096, socket.MSG_PEEK)
            except BlockingIOError:
                return None
        return b""


def test_manifests_whose_end_does_not_come_are_bounded_in_sum(server: Server, large: bytes) -> None:
    before = _bytes(server, "VmRSS")
    with ExitStack() as stack:
        stalled = [_Manifest(server, stack) for _ in range(60)]
        wait_until(lambda: [each.answer() for each in stalled].count(None) <= 16, "those above the bound are answered")
        answers = [each.answer() for each in stalled]
        assert answers.count(None) >= 14  # 64 MiB
        assert {answer[:12] for answer in answers if answer} == {b"HTTP/1.1 503"}
        assert all(b"\r\nRetry-After: " in answer for answer in answers if answer)
        assert _bytes(server, "VmHWM") - before < 128 * MIB  # the bytes, and what is read with them
        # One that moves on is not the one that gives way.
        for content in (image(b"layer").content, large):
            answer = ask(server, "PUT", "/v2/app/manifests/v2", content, {"Content-Type": OCI_MANIFEST})
            assert answer.status == 201, answer.body
    wait_until(lambda: _bytes(server, "VmRSS") - before < 32 * MIB, "their memory is given back")
