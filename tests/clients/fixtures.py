"""A registry that asks for a password, and the clients that need no root."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.auth.credentials import auth_section, write_htpasswd
from tests.clients.programs import PASSWORD, USER, Cosign, Regctl, go_client
from tests.engine.client import Client
from tests.processes import Server, forked_server


@pytest.fixture(scope="session")
def running_guarded(scratch: Path) -> Iterator[Server]:
    """One pyregistry with an htpasswd file for all tests."""
    directory = scratch / "guarded"
    directory.mkdir()
    write_htpasswd(directory / "htpasswd", {USER: PASSWORD})
    with forked_server(directory, auth=auth_section(directory / "htpasswd")) as server:
        yield server


@pytest.fixture
def guarded(running_guarded: Server) -> Iterator[Server]:
    """The registry that lets in only `USER`; no internal error may come up in it."""
    before = running_guarded.log.stat().st_size
    yield running_guarded
    assert not running_guarded.faults(before), running_guarded.output()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The directory where a client has its settings and its files."""
    directory = tmp_path / "home"
    directory.mkdir()
    return directory


@pytest.fixture
def crane(home: Path) -> Client:
    """crane, which speaks plain HTTP to 127.0.0.1 by itself."""
    return go_client("crane", home)


@pytest.fixture
def regctl(home: Path, registry: Server, guarded: Server) -> Regctl:
    """regctl."""
    return Regctl(home, registry.host, guarded.host)


@pytest.fixture
def oras(home: Path) -> Client:
    """oras; every call needs `--plain-http`."""
    return go_client("oras", home)


@pytest.fixture
def helm(home: Path) -> Client:
    """helm; every call needs `--plain-http`."""
    return go_client("helm", home)


@pytest.fixture
def cosign(home: Path) -> Cosign:
    """cosign with a new key."""
    return Cosign(home)
