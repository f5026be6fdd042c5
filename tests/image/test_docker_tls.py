"""TLS of the server itself, to docker and curl with a private authority and with certificates of their own."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyregistry.common.overriding import override
from tests.authority import Authority
from tests.engine.client import Client
from tests.engine.engine import Engine
from tests.engine.images import unique
from tests.image.conftest import ADDRESS, BridgedDaemon
from tests.processes import Server, pyregistry_server, require, wait_until

UNKNOWN = "certificate signed by unknown authority"


class Inside(Server):
    """A registry in the engine's network namespace, with TLS."""

    @override
    def answers(self) -> bool:
        return "listening" in self.output()

    @override
    @property
    def host(self) -> str:
        return f"{ADDRESS}:{self.port}"


class Site:
    """A directory with an authority, the server's certificate, and the server."""

    def __init__(self, directory: Path, bridged: BridgedDaemon, *, clients: bool, port: int | None = None) -> None:
        (directory / "ca").mkdir()
        (directory / "others").mkdir()
        self.authority = Authority(directory / "ca")
        self.others = Authority(directory / "others")
        self.served = (directory / "server.pem", directory / "server.key")
        self.serve("first")
        tls: dict[str, Any] = {"certificate": str(self.served[0]), "key": str(self.served[1])}
        if clients:
            tls |= {"clientcas": [str(self.authority.certificate)], "clientauth": "require-and-verify-client-cert"}
        made = pyregistry_server(directory, port, http={"tls": tls})
        made.config.write_text(made.config.read_text().replace("127.0.0.1:", f"{ADDRESS}:"))
        self.server = Inside([*bridged.inside.command, *made.command], made.directory, made.port, made.config)
        self.trusted = bridged.settings / "certs.d" / self.server.host
        self._curl = [*bridged.inside.command, require("curl", "curl"), "--silent", "--show-error", "--verbose"]

    def serve(self, name: str) -> None:
        """Put another certificate where the server finds it."""
        for source, target in zip(self.authority.issue(name, ADDRESS), self.served, strict=True):
            temporary = target.with_suffix(".new")
            shutil.copy(source, temporary)
            temporary.replace(target)

    def trust(self, client: tuple[Path, Path] | None = None) -> None:
        """Give the engine the authority, and a certificate of its own."""
        self.trusted.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.authority.certificate, self.trusted / "ca.crt")
        for name, file in zip(("client.cert", "client.key"), client or (), strict=False):
            shutil.copy(file, self.trusted / name)

    def curl(self, *options: str | Path) -> str:
        """The answer to /v2/, and what curl says of the connection."""
        program = Client("sh", "-c", 'exec "$@" 2>&1', "sh", *self._curl)
        return program.run(*options, f"https://{self.server.host}/v2/", check=False)


@pytest.fixture
def site(bridged: BridgedDaemon, tmp_path: Path) -> Iterator[Site]:
    """A server without a login."""
    site = Site(tmp_path, bridged, clients=False)
    with site.server:
        yield site
        assert not site.server.faults(), site.server.output()


@pytest.fixture
def closed(bridged: BridgedDaemon, tmp_path: Path) -> Iterator[Site]:
    """A server that asks for a certificate of its authority."""
    site = Site(tmp_path, bridged, clients=True)
    with site.server:
        yield site
        assert not site.server.faults(), site.server.output()


def built(docker: Engine, site: Site, directory: Path) -> tuple[str, str]:
    """An image named for the site's registry; its name and id."""
    context = directory / "context"
    context.mkdir()
    (context / "content").write_bytes(os.urandom(1_500_000))
    name = f"{site.server.host}/{unique('tls')}:1"
    return name, docker.build(name, context)


def pushed_and_pulled(docker: Engine, name: str, image_id: str) -> None:
    docker.run("push", name)
    docker.forget(name)
    docker.run("pull", name)
    assert docker.image_id(name) == image_id


def test_docker_needs_the_authority_and_then_pushes_and_pulls(docker: Engine, site: Site, tmp_path: Path) -> None:
    name, image_id = built(docker, site, tmp_path)
    assert UNKNOWN in docker.fails("push", name)
    site.trust()
    pushed_and_pulled(docker, name, image_id)


def test_docker_finds_the_authority_of_the_default_port_without_it(
    docker: Engine, bridged: BridgedDaemon, tmp_path: Path
) -> None:
    site = Site(tmp_path, bridged, clients=False, port=443)
    with site.server:
        context = tmp_path / "context"
        context.mkdir()
        (context / "content").write_bytes(os.urandom(1_500_000))
        name = f"{ADDRESS}/{unique('tls')}:1"
        image_id = docker.build(name, context)
        site.trust()  # below the name with :443, which the image's name lacks
        assert UNKNOWN in docker.fails("push", name)
        site.trusted = bridged.settings / "certs.d" / ADDRESS
        site.trust()
        pushed_and_pulled(docker, name, image_id)
        shutil.rmtree(site.trusted)
        assert not site.server.faults(), site.server.output()


def test_curl_needs_the_authority(site: Site) -> None:
    assert "unable to get local issuer certificate" in site.curl()
    assert "HTTP/1.1 200 OK" in site.curl("--cacert", site.authority.certificate)
    assert "CN=first" in site.curl("--cacert", site.authority.certificate)


def test_certificate_replaced_while_running_is_what_docker_and_curl_get(
    docker: Engine, site: Site, tmp_path: Path
) -> None:
    site.trust()
    name, image_id = built(docker, site, tmp_path)
    pushed_and_pulled(docker, name, image_id)
    site.serve("second")
    wait_until(lambda: "CN=second" in site.curl("--cacert", site.authority.certificate), "the new one is served")
    pushed_and_pulled(docker, name, image_id)
    # One of an authority that the engine does not know: it is this certificate that it sees.
    for source, target in zip(site.others.issue("third", ADDRESS), site.served, strict=True):
        shutil.copy(source, target)
    wait_until(lambda: "CN=third" in site.curl("--cacert", site.others.certificate), "the third one is served")
    docker.forget(name)
    assert UNKNOWN in docker.fails("pull", name)


def test_docker_is_let_in_with_a_client_certificate_only(docker: Engine, closed: Site, tmp_path: Path) -> None:
    name, image_id = built(docker, closed, tmp_path)
    closed.trust()
    assert "certificate required" in docker.fails("push", name)
    closed.trust(closed.others.issue("stranger"))
    assert "unknown certificate authority" in docker.fails("push", name)
    closed.trust(closed.authority.issue("client"))
    pushed_and_pulled(docker, name, image_id)


def test_curl_is_let_in_with_a_client_certificate_only(closed: Site) -> None:
    ca = ("--cacert", closed.authority.certificate)
    assert "alert certificate required" in closed.curl(*ca)
    certificate, key = closed.others.issue("stranger")
    assert "alert unknown ca" in closed.curl(*ca, "--cert", certificate, "--key", key)
    certificate, key = closed.authority.issue("client")
    assert "HTTP/1.1 200 OK" in closed.curl(*ca, "--cert", certificate, "--key", key)
