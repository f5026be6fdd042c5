"""TLS of the server itself: certificates that are renewed, and clients that must show one."""

import asyncio
import http.client
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pyregistry.config.schema import Tls
from pyregistry.service.tls import Certificate
from tests.authority import Authority
from tests.builders import digest_of
from tests.processes import Server, forked_server, wait_until


class TlsServer(Server):
    """A registry that answers over TLS only."""

    forks = True

    def answers(self) -> bool:
        return "listening" in self.output() and not self._refuses()

    def get(self, context: ssl.SSLContext, path: str = "/v2/") -> tuple[int, str]:
        """The status of a GET, and the name in the server's certificate."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=5)
        try:
            connection.request("GET", path)
            peer = connection.sock.getpeercert()
            status = connection.getresponse().status
        finally:
            connection.close()
        assert peer is not None
        return status, _common_name(peer)


def _common_name(certificate: Mapping[str, Any]) -> str:
    name: str = certificate["subject"][0][0][1]
    return name


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A CA that the server's and the clients' certificates come from."""
    directory = tmp_path / "ca"
    directory.mkdir()
    return Authority(directory)


def serving(directory: Path, tls: dict[str, object]) -> TlsServer:
    """A server with this `http.tls`, not yet started."""
    made = forked_server(directory, http={"tls": tls})
    return TlsServer(made.command, made.directory, made.port, made.config)


@pytest.fixture
def server(authority: Authority, tmp_path: Path) -> Iterator[TlsServer]:
    """A server with a certificate in two files of one directory."""
    for source, target in zip(authority.issue("first"), ("server.pem", "server.key"), strict=True):
        (tmp_path / target).write_bytes(source.read_bytes())
    files = {"certificate": str(tmp_path / "server.pem"), "key": str(tmp_path / "server.key")}
    with serving(tmp_path, {**files}) as running:
        yield running


def test_certificate_replaced_while_running_is_served_without_a_restart(
    server: TlsServer, authority: Authority, tmp_path: Path
) -> None:
    context = authority.context()
    assert server.get(context) == (200, "first")
    certificate, key = authority.issue("second")
    (tmp_path / "server.pem").write_bytes(certificate.read_bytes())
    wait_until(lambda: "stays active" in server.output(), "a certificate without its key is refused")
    assert server.get(context) == (200, "first")
    (tmp_path / "server.key").write_bytes(key.read_bytes())
    wait_until(lambda: server.get(context) == (200, "second"), "the new certificate is served")


def test_no_handshake_fails_while_the_certificate_is_exchanged(authority: Authority, tmp_path: Path) -> None:
    pairs = [authority.issue("first"), authority.issue("second")]
    served = (tmp_path / "server.pem", tmp_path / "server.key")
    _replace(served, pairs[0])
    certificate = Certificate(Tls(certificate=str(served[0]), key=str(served[1])))
    client, done = authority.context(), threading.Event()

    def exchange() -> None:
        for number in range(1, 200):
            _replace(served, pairs[number % 2])
            certificate.reload_if_changed()
        done.set()

    exchanging = threading.Thread(target=exchange)
    exchanging.start()
    names = set()
    while not done.is_set():
        names.add(_handshake(certificate.context, client))
    exchanging.join()
    assert names == {"first", "second"}


def _replace(served: tuple[Path, Path], pair: tuple[Path, Path]) -> None:
    for source, target in zip(pair, served, strict=True):
        temporary = target.with_suffix(".new")
        temporary.write_bytes(source.read_bytes())
        temporary.replace(target)


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> str:
    """The name in the certificate that a client is shown; raises SSLError."""
    handshake = Handshake(server, client)
    handshake.run()
    peer = handshake.theirs.getpeercert()
    assert peer is not None
    return _common_name(peer)


def test_connections_that_ended_are_not_counted_against_their_address(authority: Authority, tmp_path: Path) -> None:
    certificate, key = map(str, authority.issue("server"))
    limited = {"limits": {"connections-per-address": 3}, "workers": 1}
    made = forked_server(tmp_path, http={"tls": {"certificate": certificate, "key": key}}, pyregistry=limited)
    context = authority.context()
    with TlsServer(made.command, made.directory, made.port, made.config) as server:
        for _ in range(12):
            with (
                socket.create_connection(("127.0.0.1", server.port), 5) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
            ):
                connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert connection.recv(12) == b"HTTP/1.1 200"
        assert not server.faults(), server.output()


def test_a_connection_in_its_handshake_counts_against_the_cap(authority: Authority, tmp_path: Path) -> None:
    certificate, key = map(str, authority.issue("server"))
    limited = {"limits": {"connections-per-address": 3}, "workers": 1}
    made = forked_server(tmp_path, http={"tls": {"certificate": certificate, "key": key}}, pyregistry=limited)
    with TlsServer(made.command, made.directory, made.port, made.config) as server:
        context = authority.context()
        silent = [socket.create_connection(("127.0.0.1", server.port), 5) for _ in range(4)]
        # The first is idle longest, so that it is closed for the fourth, and the second for the fifth.
        assert silent[0].recv(1) == b""
        assert server.get(context) == (200, "server")
        for each in silent:
            each.close()
        assert "idle connection closed: too many" in server.output()


def test_blob_downloaded_over_tls_is_whole(server: TlsServer, authority: Authority) -> None:
    content = bytes(range(256)) * 10_000
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=authority.context(), timeout=10)
    try:
        digest = digest_of(content)
        connection.request("POST", f"/v2/app/blobs/uploads/?digest={digest}", content)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 201
        for header, expected in (("bytes=0-", content), ("bytes=5-2000004", content[5:2000005])):
            connection.request("GET", f"/v2/app/blobs/{digest}", headers={"Range": header})
            assert connection.getresponse().read() == expected
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("client_auth", "without"),
    [("require-and-verify-client-cert", False), ("", False), ("verify-client-cert-if-given", True)],
    ids=["required", "required by default", "if given"],
)
def test_client_certificate(authority: Authority, tmp_path: Path, client_auth: str, without: bool) -> None:
    certificate, key = map(str, authority.issue("server"))
    tls = {"certificate": certificate, "key": key, "clientcas": [str(authority.certificate)]}
    with serving(tmp_path, {**tls, "clientauth": client_auth}) as server:
        assert server.get(authority.context(authority.issue("client"))) == (200, "server")
        if without:
            assert server.get(authority.context()) == (200, "server")
        else:
            with pytest.raises(ssl.SSLError, match="ALERT_CERTIFICATE_REQUIRED"):
                server.get(authority.context())
            with pytest.raises(ssl.SSLError, match="ALERT_UNKNOWN_CA"):
                server.get(authority.context(Authority(tmp_path).issue("stranger")))


def test_an_authority_that_is_taken_out_is_trusted_no_longer(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.certificate.read_bytes() + other.certificate.read_bytes())
    certificate, key = map(str, authority.issue("server"))
    served = Certificate(Tls(certificate=certificate, key=key, client_cas=[str(bundle)]))
    client = authority.context(other.issue("client"))
    assert _handshake(served.context, client) == "server"
    bundle.write_bytes(authority.certificate.read_bytes())
    served.reload_if_changed()
    with pytest.raises(ssl.SSLError):
        _handshake(served.context, client)


VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


@VERSIONS
def test_a_session_is_resumed_until_its_authority_is_taken_out(
    authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.certificate.read_bytes() + other.certificate.read_bytes())
    certificate, key = map(str, authority.issue("server"))
    made = forked_server(
        tmp_path,
        http={"tls": {"certificate": certificate, "key": key, "clientcas": [str(bundle)]}},
        pyregistry={"workers": 1},
    )
    with TlsServer(made.command, made.directory, made.port, made.config) as server:
        removed, kept = (authority.context(each.issue("client")) for each in (other, authority))
        for context in (removed, kept):
            context.minimum_version = context.maximum_version = version
        session, _ = _session(server, removed)
        old, _ = _session(server, kept)
        assert _session(server, removed, session)[1], "the same authorities: it is resumed"
        bundle.write_bytes(authority.certificate.read_bytes())
        wait_until(lambda: "certificate reloaded" in server.output(), "the authorities are read again")
        with pytest.raises(OSError, match=r"ALERT_UNKNOWN_CA|reset"):
            _session(server, removed, session)
        session, was_resumed = _session(server, kept, old)
        assert not was_resumed, "the new context has keys of its own"
        assert _session(server, kept, session)[1]


def _session(
    server: TlsServer, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLSession | None, bool]:
    """The session of a connection that was answered 200, and True if it resumed `session`; raises OSError."""
    with (
        socket.create_connection(("127.0.0.1", server.port), 5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as connection,
    ):
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"
        return connection.session, bool(connection.session_reused)


@VERSIONS
def test_a_connection_accepted_before_the_exchange_resumes_nothing_after_it(
    authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """It has the old context, whose tickets it could still read."""
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.certificate.read_bytes() + other.certificate.read_bytes())
    certificate, key = map(str, authority.issue("server"))
    served = Certificate(Tls(certificate=certificate, key=key, client_cas=[str(bundle)]))
    client = authority.context(other.issue("client"))
    client.minimum_version = client.maximum_version = version
    first = Handshake(served.context, client)
    first.run()
    session = first.theirs.session
    assert session is not None
    again = Handshake(served.context, client, session)
    again.run()
    assert again.theirs.session_reused
    accepted = Handshake(served.context, client, session)
    bundle.write_bytes(authority.certificate.read_bytes())
    served.reload_if_changed()
    with pytest.raises(ssl.SSLError):
        accepted.run()


class Handshake:
    """A server's and a client's side, joined in memory."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ours = server.wrap_bio(to_server, to_client, server_side=True)
        self.theirs = client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1", session=session)

    def run(self) -> None:
        """To the end of it, and to the server's first byte, before which its tickets come; raises SSLError."""
        waiting = [self.theirs, self.ours]
        while waiting:
            side = waiting.pop(0)
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waiting.append(side)
        self.ours.write(b"x")
        assert self.theirs.read(1) == b"x"


def test_client_that_speaks_another_version_of_tls_learns_it(authority: Authority, tmp_path: Path) -> None:
    certificate, key = map(str, authority.issue("server"))
    context = authority.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with serving(tmp_path, {"certificate": certificate, "key": key, "minimumtls": "tls1.3"}) as server:
        with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
            server.get(context)
        assert server.get(authority.context()) == (200, "server")


def test_plain_http_to_the_tls_port_ends_at_once(server: TlsServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        with connection.makefile("rb") as received:
            assert received.read().startswith(b"HTTP/1.0 400 Bad Request\r\n")


@pytest.mark.parametrize(
    ("tls", "named"),
    [
        ({"certificate": "/nowhere", "key": "/nowhere"}, "http.tls.certificate"),
        ({"letsencrypt": {"email": "a@example.org"}}, "http.tls.letsencrypt"),
    ],
    ids=["files that are not there", "a certificate that would have to be fetched"],
)
def test_tls_that_cannot_be_served_is_refused_at_the_start(tmp_path: Path, tls: dict[str, object], named: str) -> None:
    made = serving(tmp_path, tls)
    done = subprocess.run(made.command, capture_output=True, text=True, env=made.env, timeout=20, check=False)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_download_over_tls_is_logged_with_the_bytes_of_its_body(server: TlsServer, authority: Authority) -> None:
    """The kernel cannot send a file there, so that they are counted in another way."""
    content = bytes(3_000_000)
    path = f"/v2/app/blobs/uploads/?digest={digest_of(content)}"
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=authority.context(), timeout=20)
    connection.request("POST", path, content)
    assert connection.getresponse().read() == b""
    connection.request("GET", f"/v2/app/blobs/{digest_of(content)}", headers={"X-Request-ID": "over-tls-GET"})
    assert connection.getresponse().read() == content
    connection.close()
    wait_until(lambda: "over-tls-GET" in server.output(), "the download is in the log")
    assert f'HTTP/1.1" 200 {len(content)} ' in server.output().partition("over-tls-GET")[2]


def test_a_process_that_begins_serves_the_certificate_that_is_there_then(authority: Authority, tmp_path: Path) -> None:
    """It may replace another, and was forked from one that has read the files long ago."""
    served = (tmp_path / "server.pem", tmp_path / "server.key")
    _replace(served, authority.issue("first"))
    certificate = Certificate(Tls(certificate=str(served[0]), key=str(served[1])))
    _replace(served, authority.issue("second"))

    async def begin() -> str:
        app = web.Application()
        app.cleanup_ctx.append(certificate.watch)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            return _handshake(certificate.context, authority.context())
        finally:
            await runner.cleanup()

    assert asyncio.run(begin()) == "second"
