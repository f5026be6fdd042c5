"""One client hides a request in a body; the next client of the proxy, who has a password, must get its own answer."""

import http.client
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import TypeVar

import pytest

from tests.builders import OCI_INDEX
from tests.clients.programs import PASSWORD, USER
from tests.processes import Server
from tests.proxies.proxies import Proxy
from tests.raw import METHODS, chunked

T = TypeVar("T")

_PANICKED = 2
"""Exit status of a program of Go after a panic."""
_BASIC = f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
_TAG = "/v2/secret/app/manifests/prod"
_INDEX = b'{"schemaVersion":2,"mediaType":"%s","manifests":[]}' % OCI_INDEX.encode()
_HIDDEN = f"DELETE {_TAG} HTTP/1.1\r\nHost: registry.test\r\nX-Ignore: ".encode()
TARGETS = ("/v2/", "/v2/secret/app/blobs/uploads/")
FRAMINGS = {
    "announced": (f"Content-Length: {len(_HIDDEN)}\r\n", _HIDDEN),
    "chunked": ("Transfer-Encoding: chunked\r\n", chunked(_HIDDEN)),
    "an empty coding": (f"Transfer-Encoding:\r\nContent-Length: {len(_HIDDEN)}\r\n", _HIDDEN),
    "an upgrade": (f"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: {len(_HIDDEN)}\r\n", _HIDDEN),
    "an expectation": (f"Expect: 100-continue\r\nContent-Length: {len(_HIDDEN)}\r\n", _HIDDEN),
}


def _attack(proxy: Proxy, method: str, target: str, fields: str, body: bytes) -> bool:
    """Send it without a password; return True if there was an answer."""
    context = proxy.authority.context()
    plain = socket.create_connection(("127.0.0.1", proxy.port), timeout=20)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
        secure.sendall(f"{method} {target} HTTP/1.1\r\nHost: {proxy.host}\r\n{fields}\r\n".encode() + body)
        answer = http.client.HTTPResponse(secure, method=method)
        try:
            answer.begin()
            return answer.status != 502  # an answer of the registry's, or the proxy's own refusal
        except (OSError, ssl.SSLError, http.client.HTTPException):
            return False


def _ask(connection: http.client.HTTPConnection, method: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection.request(method, _TAG, body, {"Authorization": _BASIC, "Content-Type": OCI_INDEX})
    answer = connection.getresponse()
    return answer.status, answer.read()


def _again(proxy: Proxy, step: Callable[[], T]) -> T:
    """Do a step; once more if the proxy panicked at it, as one built with Go before 1.23 may at an expectation.

    That is https://github.com/golang/go/issues/53808.
    """
    try:
        return step()
    except (OSError, http.client.HTTPException):
        if proxy.kill() != _PANICKED:
            raise
        assert "expectContinueReader" in proxy.log.read_text()
        proxy.start()
        return step()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_next_client_gets_its_own_answer(any_proxy: Proxy, guarded: Server, framing: str) -> None:
    fields, body = FRAMINGS[framing]
    with closing(any_proxy.connect()) as connection:
        assert _ask(connection, "PUT", _INDEX)[0] == 201
        answered = 0
        for method in METHODS:
            for target in TARGETS:
                answered += _again(any_proxy, partial(_attack, any_proxy, method, target, fields, body))
                # Twice: the proxy may have several connections, and the first of these may meet the hidden request.
                for _ in range(2):
                    assert _again(any_proxy, partial(_ask, connection, "GET")) == (200, _INDEX), (method, target)
    assert answered > len(METHODS), "the proxy lets nothing through"
    assert not guarded.faults(), guarded.faults()
