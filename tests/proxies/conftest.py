"""Registries behind a real nginx, a real Caddy and a real HAProxy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pyregistry.common.overriding import override
from tests.auth.credentials import auth_section, write_htpasswd
from tests.authority import Authority
from tests.clients.programs import PASSWORD, USER
from tests.engine.conftest import docker, scratch
from tests.processes import Server, free_port, pyregistry_server
from tests.proxies.proxies import Caddy, GoProxy, HAProxy, Nginx, Proxy, SampleHAProxy

__all__ = ["docker", "scratch"]

PROXIES: dict[str, type[Proxy]] = {"nginx": Nginx, "caddy": Caddy, "haproxy": SampleHAProxy}
ALL: dict[str, type[Proxy]] = {**PROXIES, "bare haproxy": HAProxy, "go": GoProxy}
PREFIX = "/sub/path"


@pytest.fixture(scope="session")
def authority(scratch: Path) -> Authority:
    """The authority that the clients trust."""
    directory = scratch / "ca"
    directory.mkdir()
    return Authority(directory)


@pytest.fixture(scope="session")
def guarded(scratch: Path) -> Iterator[Server]:
    """A registry that asks for a password, and knows nothing of a proxy."""
    directory = scratch / "guarded"
    directory.mkdir()
    write_htpasswd(directory / "htpasswd", {USER: PASSWORD})
    with pyregistry_server(directory, auth=auth_section(directory / "htpasswd")) as server:
        yield server
        assert not server.faults(), server.output()


@pytest.fixture(params=PROXIES)
def proxy(request: pytest.FixtureRequest, guarded: Server, authority: Authority, tmp_path: Path) -> Iterator[Proxy]:
    """The server that the clients talk to."""
    with PROXIES[request.param](tmp_path, authority, guarded.host) as proxy:
        yield proxy


@pytest.fixture(params=ALL)
def any_proxy(request: pytest.FixtureRequest, guarded: Server, authority: Authority, tmp_path: Path) -> Iterator[Proxy]:
    """As `proxy`, and those without a sample config as well."""
    with ALL[request.param](tmp_path, authority, guarded.host) as proxy:
        yield proxy


@pytest.fixture(params=PROXIES)
def below(request: pytest.FixtureRequest, authority: Authority, tmp_path: Path) -> Iterator[Proxy]:
    """One whose registry is served under a path and knows the proxy's address."""
    port = free_port()
    section = {"host": f"https://127.0.0.1:{port}", "prefix": f"{PREFIX}/"}
    made = pyregistry_server(tmp_path, http=section)
    with Below(made.command, made.directory, made.port, made.config) as server:
        with PROXIES[request.param](tmp_path, authority, server.host, port) as proxy:
            yield proxy
        assert not server.faults(), server.output()


class Below(Server):
    """A registry that is not at /v2/."""

    @override
    def answers(self) -> bool:
        return "listening" in self.output() and not self._refuses()
