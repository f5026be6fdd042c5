"""The server under test and the engines around it, each started once and removed without a trace."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.containers import Buildah, Podman, Skopeo
from tests.engine.engine import Daemon, Engine
from tests.engine.wire import Wire
from tests.processes import Server, cncf3_server, pyregistry_server, require_root, start_or_skip


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A directory with a short name (a socket's path has 107 bytes) that does not outlive the run, as GiBs go in."""
    directory = Path(tempfile.mkdtemp(prefix="pyregistry-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def running_registry(scratch: Path) -> Iterator[Server]:
    """One pyregistry for all tests; each uses names of its own."""
    directory = scratch / "registry"
    directory.mkdir()
    with pyregistry_server(directory) as server:
        yield server


@pytest.fixture
def registry(running_registry: Server) -> Iterator[Server]:
    """The registry, which must get through the test without an internal error in its log."""
    before = running_registry.log.stat().st_size
    yield running_registry
    assert not running_registry.faults(before), running_registry.output()


@pytest.fixture(scope="session")
def running_upstream(scratch: Path) -> Iterator[Server]:
    """One CNCF registry 3.1.1 for all tests."""
    directory = scratch / "upstream"
    directory.mkdir()
    with cncf3_server(directory) as server:
        yield server


@pytest.fixture(params=("pyregistry", "cncf"))
def either(request: pytest.FixtureRequest) -> Server:
    """Our registry, then the CNCF registry 3.1.1: a test that both pass asks for no more than users are used to."""
    name = "registry" if request.param == "pyregistry" else "running_upstream"
    server: Server = request.getfixturevalue(name)
    return server


@pytest.fixture
def wire(registry: Server) -> Iterator[Wire]:
    """Plain HTTP to the registry."""
    with Wire(registry) as wire:
        yield wire


@pytest.fixture(scope="session")
def docker(scratch: Path) -> Iterator[Engine]:
    """`docker` with an engine of its own."""
    require_root()
    directory = scratch / "docker"
    directory.mkdir()
    daemon = Daemon(directory)
    try:
        start_or_skip(daemon)
        yield Engine(daemon)
    finally:
        daemon.stop()
        daemon.remove()


@pytest.fixture
def skopeo(tmp_path: Path) -> Skopeo:
    """skopeo with settings of its own."""
    return Skopeo(tmp_path)


@pytest.fixture
def images(scratch: Path) -> Path:
    """The directory of podman's and buildah's images in one test; podman wants less than 50 characters."""
    return Path(tempfile.mkdtemp(dir=scratch))


@pytest.fixture
def buildah(images: Path) -> Buildah:
    """buildah with images and settings of its own."""
    return Buildah(images)


@pytest.fixture
def podman(images: Path) -> Podman:
    """podman with settings of its own and the images of `buildah`."""
    return Podman(images)
