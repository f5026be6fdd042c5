"""Certificates that are fetched: Caddy with its sample, and certbot with the hook, from a real ACME server."""

import grp
import http.client
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.authority import Authority
from tests.engine.client import Client
from tests.processes import SOURCE_TREE, Program, Server, free_port, pyregistry_server, require, wait_until
from tests.proxies.pebble import Pebble
from tests.proxies.proxies import sample
from tests.proxies.test_certbot import WithTls

HOST = "registry.example.org"
HOOK = SOURCE_TREE / "config/certbot/deploy-hook.sh"
ADMIN = ("--agree-tos", "--register-unsafely-without-email", "--non-interactive", "--no-verify-ssl")
CADDY = """
{{
	admin off
	acme_ca {directory}
	acme_ca_root {root}
	http_port {http}
	https_port {https}
	default_bind 127.0.0.1
}}
"""


@pytest.fixture
def pebble(tmp_path: Path, authority: Authority) -> Iterator[Pebble]:
    """The authority that both ask."""
    with Pebble(tmp_path, authority) as pebble:
        yield pebble


def served(port: int) -> bytes | None:
    """The certificate that a client of HOST gets, or None."""
    try:
        with connected(port) as connection:
            return connection.getpeercert(binary_form=True)
    except OSError:
        return None


@contextmanager
def connected(port: int) -> Iterator[ssl.SSLSocket]:
    """A connection to HOST at this port; it trusts every authority, as the root is new at each start."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as connection,
    ):
        yield connection


def names(certificate: bytes, directory: Path) -> str:
    """The names in it, as openssl writes them."""
    (directory / "served.pem").write_text(ssl.DER_cert_to_PEM_cert(certificate))
    openssl = Client(require("openssl", "openssl"))
    return openssl.run("x509", "-noout", "-ext", "subjectAltName", "-issuer", "-in", directory / "served.pem")


def test_caddy_fetches_the_certificate_by_itself(
    pebble: Pebble, authority: Authority, guarded: Server, tmp_path: Path
) -> None:
    port, config = free_port(), tmp_path / "Caddyfile"
    own = CADDY.format(directory=pebble.url, root=authority.certificate, http=free_port(), https=port)
    config.write_text(own + sample("Caddyfile", {}))
    places = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(tmp_path))
    command = [require("caddy", "caddy"), "run", "--adapter", "caddyfile", "--config", str(config)]
    with Program(command, tmp_path / "caddy.log", {**places, "UPSTREAM": guarded.host}) as caddy:
        wait_until(lambda: served(port) is not None, f"a certificate is served\n{caddy.output()}", 60)
        certificate = served(port)
        assert certificate is not None
        said = names(certificate, tmp_path)
        assert f"DNS:{HOST}" in said
        assert "Pebble" in said
        assert answer_of(port) == 401


def answer_of(port: int) -> int:
    """The status of /v2/ at this port, for HOST."""
    with connected(port) as connection:
        connection.sendall(f"GET /v2/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status


def test_certbot_hands_each_certificate_to_the_running_registry(pebble: Pebble, tmp_path: Path) -> None:
    target = tmp_path / "etc"
    target.mkdir()
    group = grp.getgrgid(os.getegid()).gr_name
    own = {"PYREGISTRY_TLS_DIRECTORY": str(target), "PYREGISTRY_GROUP": group}
    places = [word for kind in ("config", "work", "logs") for word in (f"--{kind}-dir", str(tmp_path / kind))]
    certbot = Client(require("certbot", "certbot"), *places, "--server", pebble.url, *ADMIN, env=own)
    port = ("--http-01-port", str(free_port()))
    certbot.run("certonly", "--standalone", *port, "-d", HOST, "--deploy-hook", HOOK)
    tls = {"certificate": str(target / "registry.pem"), "key": str(target / "registry.key")}
    made = pyregistry_server(tmp_path, http={"tls": tls})
    with WithTls(made.command, made.directory, made.port, made.config) as server:
        first = served(server.port)
        assert first is not None
        assert f"DNS:{HOST}" in names(first, tmp_path)
        certbot.run("renew", "--force-renewal", "--no-random-sleep-on-renew")
        wait_until(lambda: served(server.port) not in (first, None), "the renewed certificate is served")
        assert not server.faults(), server.output()
