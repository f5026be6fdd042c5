"""The process that runs the workers."""

import asyncio
import contextlib
import resource
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pyregistry.api.transport import loop
from pyregistry.api.transport.limits import ConnectionLimits
from pyregistry.api.transport.loop import SingleAcceptLoop
from pyregistry.api.transport.runner_factory import make_runner
from pyregistry.api.transport.stalled import socket_of
from pyregistry.api.transport.workers import signal_name
from pyregistry.config.errors import ConfigError
from pyregistry.service.sockets import listen
from tests.authority import Authority
from tests.processes import forked_server
from tests.workers.workers import workers_of

FORK = """
import os, signal
from pyregistry.api.transport.workers import hold_signals_across_fork

signal.signal(signal.SIGTERM, lambda *_: print("lost", flush=True))  # as the arbiter's, which a worker inherits
hold_signals_across_fork()
if os.fork() == 0:
    os.kill(os.getpid(), signal.SIGTERM)
    print("pending" if signal.SIGTERM in signal.sigpending() else "not pending", flush=True)
    os._exit(0)
os.wait()
print("blocked" if signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ()) else "not blocked")
"""


def test_signal_to_a_worker_that_does_not_listen_yet_waits_for_it_to_listen() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["pending", "not blocked"]


def test_the_address_of_all_of_ipv6_takes_ipv4_as_well_as_in_go() -> None:
    with (
        listen("http.addr", "[::]:0") as listening,
        socket.create_connection(("127.0.0.1", listening.getsockname()[1]), timeout=5) as client,
    ):
        assert client.getpeername()[0] == "127.0.0.1"


def test_a_host_that_cannot_be_one_is_refused_with_its_key() -> None:
    with pytest.raises(ConfigError, match=r"http\.addr: 'bad\.\.host:80', expected HOST:PORT"):
        listen("http.addr", "bad..host:80")


def test_a_port_that_is_used_is_said_once_with_what_to_do() -> None:
    with listen("http.addr", "127.0.0.1:0") as first:
        used = f"127.0.0.1:{first.getsockname()[1]}"
        with pytest.raises(ConfigError) as refused:
            listen("http.addr", used)
    expected = "Address already in use: stop the program that listens there, or name another port"
    assert str(refused.value) == f"http.addr: cannot listen on {used}: {expected}"


@pytest.mark.parametrize(
    ("addr", "reason"),
    [("192.0.2.1:80", "Cannot assign requested address"), ("host.invalid:80", "(Temporary failure in n|N)ame .*")],
    ids=["an address of another machine", "a name that nothing has"],
)
def test_an_address_that_cannot_be_listened_on_has_the_reason_alone(addr: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"^http\.addr: cannot listen on {addr}: {reason}$"):
        listen("http.addr", addr)


def test_workers_may_open_as_many_files_as_the_system_lets_them(tmp_path: Path) -> None:
    with forked_server(tmp_path, pyregistry={"workers": 1}) as server:
        server.stop()
        server.command[:0] = ["sh", "-c", 'ulimit -Sn 256; exec "$@"', "sh"]
        server.start()
        soft, hard = resource.prlimit(workers_of(server)[0], resource.RLIMIT_NOFILE)
    assert soft == hard > 256


def test_a_client_that_never_ends_its_handshake_is_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "HANDSHAKE_SECONDS", 0.2)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority(tmp_path).issue("server"))

    async def wait_for_the_end() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            running = asyncio.get_running_loop()
            server = await running.create_server(asyncio.Protocol, sock=listening, ssl=context)
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            try:
                async with asyncio.timeout(5):
                    return await reader.read()
            finally:
                writer.close()
                server.close()

    with asyncio.Runner(loop_factory=lambda: SingleAcceptLoop(100)) as runner:
        assert runner.run(wait_for_the_end()) == b""


@pytest.mark.parametrize("fast_path", [True, False])
@pytest.mark.parametrize("turns", range(8))
def test_a_connection_that_a_worker_accepted_is_served_whenever_the_worker_ends(turns: int, fast_path: bool) -> None:
    """Connections that it does not accept stay in the queue for the others: the listening socket is theirs as well."""

    async def exchange() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as listening, listening.dup() as of_others:
            listening.setblocking(False)
            of_others.setblocking(False)
            options = {"limits": ConnectionLimits(), "access_logger": None}
            runner = make_runner(web.Application(), fast_path=fast_path, **options)
            await runner.setup()
            await runner.listen(listening)
            await asyncio.sleep(0)
            with socket.create_connection(listening.getsockname()) as client:
                client.settimeout(5)
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                for _ in range(turns):
                    await asyncio.sleep(0)
                await runner.cleanup()
                try:
                    of_others.accept()[0].close()
                except BlockingIOError:
                    return client.recv(12)
                return b"in the queue"

    with asyncio.Runner(loop_factory=lambda: SingleAcceptLoop(100)) as runner:
        assert runner.run(exchange()) in {b"in the queue", b"HTTP/1.1 404"}


@pytest.mark.parametrize("is_told", [True, False], ids=["", "asyncio's private hook has another name"])
@pytest.mark.parametrize("fast_path", [True, False], ids=["fast", "ordinary"])
def test_a_handshake_that_is_under_way_at_a_shutdown_ends_with_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast_path: bool, is_told: bool
) -> None:
    """It becomes a connection in the time to settle; without that time the worker ends before it."""
    if not is_told:
        monkeypatch.delattr(SingleAcceptLoop, "_make_ssl_transport")
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))

    async def exchange() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            runner = make_runner(
                web.Application(),
                fast_path=fast_path,
                limits=ConnectionLimits(),
                access_logger=None,
                settle_seconds=1,  # a busy machine needs more than the usual time
            )
            await runner.setup()
            await runner.listen(listening, context)
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = authority.context().wrap_bio(received, to_send, server_hostname="127.0.0.1")
            with pytest.raises(ssl.SSLWantReadError):
                client.do_handshake()
            writer.write(to_send.read())
            received.write(await reader.read(65_536))

            async def finish() -> bytes:
                await asyncio.sleep(0.1)  # the way through a network
                client.do_handshake()
                client.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                writer.write(to_send.read())
                while True:
                    received.write(await reader.read(65_536))
                    with contextlib.suppress(ssl.SSLWantReadError):  # tickets of the session, which come first
                        return client.read(12)

            finishing = asyncio.create_task(finish())
            async with asyncio.timeout(20):  # the client does not say goodbye
                await runner.cleanup()
            writer.close()
            return finishing.result() if finishing.done() else b"the worker has ended"

    with asyncio.Runner(loop_factory=lambda: SingleAcceptLoop(100)) as runner:
        assert runner.run(exchange()) == b"HTTP/1.1 404"


def test_a_connection_of_tls_that_was_closed_twice_disturbs_no_look_at_all_connections(tmp_path: Path) -> None:
    """asyncio forgets its socket, and keeps it until the client confirms the end."""
    authority = Authority(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))

    async def exchange() -> None:
        accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        server = await asyncio.start_server(lambda _, writer: accepted.put(writer), "127.0.0.1", 0, ssl=context)
        address = server.sockets[0].getsockname()
        _, client = await asyncio.open_connection(*address, ssl=authority.context())
        writer = await accepted.get()  # kept: Python 3.13 closes, with a warning, what is let go
        transport = writer.transport
        assert socket_of(transport) is not None
        transport.close()
        transport.close()
        assert socket_of(transport) is None
        client.transport.abort()
        server.close()

    asyncio.run(exchange())


def test_on_the_ordinary_way_a_connection_that_comes_while_requests_end_delays_the_end_by_nothing() -> None:
    """A TLS handshake may end in that time."""

    async def exchange() -> None:
        begun, ends = asyncio.Event(), asyncio.Event()

        async def wait(_: web.Request) -> web.Response:
            begun.set()
            await ends.wait()
            return web.Response()

        app = web.Application()
        app.router.add_get("/", wait)
        runner = make_runner(
            app,
            fast_path=False,
            limits=ConnectionLimits(header_deadline=600, keepalive=600),
            access_logger=None,
            settle_seconds=0,
            shutdown_timeout=600,
        )
        await runner.setup()
        factory: Any = runner.server
        running, late = socket.socketpair(), socket.socketpair()
        loop_of_test = asyncio.get_running_loop()
        await loop_of_test.connect_accepted_socket(factory, running[0])
        running[1].sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await begun.wait()
        ending = asyncio.create_task(runner.cleanup())
        await asyncio.sleep(0.1)  # the running one is notified of the end
        await loop_of_test.connect_accepted_socket(factory, late[0])
        ends.set()
        async with asyncio.timeout(20):
            await ending
        for each in (running[1], late[1]):
            each.close()

    asyncio.run(exchange())


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (15, "SIGTERM"), (35, "35"), (63, "63")])
def test_a_signal_without_a_name_is_told_by_its_number(number: int, name: str) -> None:
    assert signal_name(number) == name
