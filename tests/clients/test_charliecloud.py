"""Charliecloud's ch-image: speaks HTTPS only, and uses the Location of an upload exactly as it came."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.authority import Authority
from tests.clients.programs import payload
from tests.engine.client import Client
from tests.engine.images import unique
from tests.processes import Server, cncf3_server, pyregistry_server, require

SERVERS = {"pyregistry": pyregistry_server, "cncf": cncf3_server}


class HttpsServer(Server):
    """A registry that answers over TLS only."""

    def answers(self) -> bool:
        try:
            ssl.get_server_certificate(("127.0.0.1", self.port), timeout=5)
        except OSError:
            return False
        return True


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The CA of the server's certificate."""
    (tmp_path / "ca").mkdir()
    return Authority(tmp_path / "ca")


@pytest.fixture(params=SERVERS)
def either(request: pytest.FixtureRequest, authority: Authority, tmp_path: Path) -> Iterator[Server]:
    """Our registry, then the CNCF registry 3.1.1, with a certificate."""
    certificate, key = authority.issue("registry")
    made = SERVERS[request.param](tmp_path, http={"tls": {"certificate": str(certificate), "key": str(key)}})
    server = HttpsServer(made.command, made.directory, made.port, made.config)
    server.env |= made.env
    with server:
        yield server
        assert not server.faults(), server.output()


@pytest.fixture
def ch_image(authority: Authority, home: Path) -> Client:
    """ch-image with images of its own; its interpreter is Debian's, for which Debian packages its libraries."""
    program = require("ch-image", "charliecloud-builders")
    env = {"HOME": str(home), "USER": "root", "REQUESTS_CA_BUNDLE": str(authority.certificate)}
    return Client("/usr/bin/python3", program, "--no-cache", "--storage", home / "images", env=env)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The files of an image."""
    directory = tmp_path / "root"
    for name in ("bin", "ch", "dev", "etc", "usr"):
        (directory / name).mkdir(parents=True)
    history = [{"created": "2020-01-01T00:00:00Z", "created_by": "a test"}]
    described = {"arch": "amd64", "cwd": "/", "env": {}, "labels": {}, "shell": ["/bin/sh", "-c"], "volumes": []}
    (directory / "ch/metadata.json").write_text(json.dumps({**described, "history": history}))
    return directory


@pytest.mark.client("ch-image", "push")
@pytest.mark.client("ch-image", "pull")
def test_pushed_image_is_pulled_with_its_files(either: Server, ch_image: Client, root: Path, home: Path) -> None:
    content, name = payload(root / "bin/file"), f"{either.host}/{unique('charliecloud')}:1"
    ch_image.run("push", "--image", root, name)
    ch_image.run("pull", name)
    [found] = (home / "images/img").glob("*/bin/file")
    assert found.read_bytes() == content
