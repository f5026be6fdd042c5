"""Headers of real proxies about their clients, and the registry's use of them."""

import http.client
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyregistry.common.overriding import override
from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.authority import Authority
from tests.processes import SOURCE_TREE, Server, pyregistry_server, wait_until
from tests.proxies.conftest import PROXIES
from tests.proxies.proxies import GoProxy, HAProxy, Proxy

CLIENT = "127.0.0.5"
RULES = [{"repositories": "public/**", "who": "everyone", "actions": "pull"}]


class DocumentedHAProxy(HAProxy):
    """HAProxy with the lines that docs/tls-and-proxies.md tells of."""

    @override
    def configure(self, upstream: str) -> tuple[list[str], dict[str, str]]:
        configured = super().configure(upstream)
        documented = (SOURCE_TREE / "docs/tls-and-proxies.md").read_text()
        row = re.search(r"^\| HAProxy \|(.*); from 2\.8", documented, re.MULTILINE)
        assert row is not None
        config = self.directory / "haproxy.cfg"
        lines = "".join(f"    {line}\n" for line in re.findall("`([^`]*)`", row[1]))
        config.write_text(config.read_text().replace("    default_backend", f"{lines}    default_backend"))
        return configured


TELLING = {**PROXIES, "documented haproxy": DocumentedHAProxy}


@pytest.fixture
def trusting(tmp_path: Path) -> Iterator[Server]:
    """A registry that makes tokens and trusts what comes from 127.0.0.1 alone."""
    write_htpasswd(tmp_path / "htpasswd", {"alice": "a secret"})
    own = {"access": RULES, "trusted-proxies": ["127.0.0.1"]}
    with pyregistry_server(tmp_path, auth=auth_section(tmp_path / "htpasswd"), pyregistry=own) as server:
        yield server
        assert not server.faults(), server.output()


@pytest.fixture(params=TELLING)
def before(request: pytest.FixtureRequest, trusting: Server, authority: Authority, tmp_path: Path) -> Iterator[Proxy]:
    """A proxy in front of it, with its sample config, or with what the docs say."""
    with TELLING[request.param](tmp_path, authority, trusting.host) as proxy:
        yield proxy


def _get(proxy: Proxy, headers: dict[str, str]) -> http.client.HTTPResponse:
    context = proxy.authority.context()
    connection = http.client.HTTPSConnection(
        "127.0.0.1", proxy.port, context=context, timeout=30, source_address=(CLIENT, 0)
    )
    try:
        connection.request("GET", "/v2/", headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()


@pytest.mark.parametrize(
    "forged",
    [
        {},
        {"X-Forwarded-For": "198.51.100.66"},
        {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Real-IP": "198.51.100.66"},
        {"Forwarded": "for=198.51.100.66;proto=http"},
    ],
    ids=["plain", "an address", "more", "RFC 7239"],
)
def test_the_client_is_known_behind_a_proxy_whatever_it_sends(
    before: Proxy, trusting: Server, forged: dict[str, str]
) -> None:
    answer = _get(before, {**basic("alice", "wrong"), **forged, "User-Agent": "the-client"})
    assert answer.status == 401
    realm = answer.headers["WWW-Authenticate"]
    assert realm.startswith(f'Bearer realm="https://127.0.0.1:{before.port}/auth/token"'), realm
    wait_until(lambda: "the-client" in trusting.output(), "the line of the access log")
    assert re.search(rf'^{re.escape(CLIENT)} .* 401 .*"the-client"$', trusting.output(), re.MULTILINE)
    assert "198.51.100.66" not in trusting.output()
    assert re.search(rf"login failed .*{re.escape(CLIENT)}", trusting.output())


def test_the_realm_is_https_behind_a_proxy_that_names_no_scheme(
    trusting: Server, authority: Authority, tmp_path: Path
) -> None:
    """Go's ReverseProxy sends X-Forwarded-For alone."""
    with GoProxy(tmp_path, authority, trusting.host) as proxy:
        answer = _get(proxy, {"User-Agent": "the-client"})
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="https://')
    wait_until(lambda: "the-client" in trusting.output(), "the line of the access log")
    assert re.search(rf'^{re.escape(CLIENT)} .*"the-client"$', trusting.output(), re.MULTILINE)


def test_a_client_beside_the_proxy_is_not_believed(trusting: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", trusting.port, timeout=30, source_address=(CLIENT, 0))
    try:
        forged = {"X-Forwarded-For": "198.51.100.66", "X-Forwarded-Host": "evil.test", "User-Agent": "the-client"}
        connection.request("GET", "/v2/", headers=forged)
        realm = connection.getresponse().headers["WWW-Authenticate"]
    finally:
        connection.close()
    assert f"127.0.0.1:{trusting.port}/auth/token" in realm
    wait_until(lambda: "the-client" in trusting.output(), "the line of the access log")
    assert re.search(rf'^{re.escape(CLIENT)} .*"the-client"$', trusting.output(), re.MULTILINE)
