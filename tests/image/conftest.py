"""An engine with a network of its own, and our image, built on a base made from Debian's packages."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.client import Client
from tests.engine.engine import Daemon, Engine
from tests.image.making import copy_known_files, make_image
from tests.processes import SOURCE_TREE, require, require_root, start_or_skip

BASE = "python-base:test"
IMAGE = "pyregistry:test"
ADDRESS = "10.255.255.1"
"""Of the engine's namespace alone; to 127.0.0.1 Docker would not ask for a certificate that it can verify."""


PATIENCE = 600
"""Seconds for the base, which takes most of a minute of a processor: a busy machine gives it slowly."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """The first test waits for the base and the image."""
    item.add_marker(pytest.mark.timeout(2 * PATIENCE))


class BridgedDaemon(Daemon):
    """dockerd with bridge and port mapping, in a network namespace: the host's rules and addresses stay as they are."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.namespace = directory.name
        self._ip = Client(require("ip", "iproute2"))
        alone = re.compile(r"--(bridge|iptables|ip-forward|ip-masq)=")
        enter = [require("nsenter", "util-linux"), f"--net=/run/netns/{self.namespace}"]
        self.settings = directory / "settings"
        """Its /etc/docker, the only place where it finds authorities and certificates."""
        mount = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/docker && exec "$@"', str(self.settings)]
        self.command = [*enter, *mount, *(word for word in self.command if not alone.match(word))]
        self.inside = Client(*enter)
        """Runs a program where 127.0.0.1 is this engine's."""

    def start(self, deadline: float = 30) -> None:
        require("iptables", "iptables")
        self.settings.mkdir(exist_ok=True)
        Path("/etc/docker").mkdir(exist_ok=True)
        self._ip.run("netns", "add", self.namespace)
        self.inside.run("ip", "link", "set", "lo", "up")
        self.inside.run("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
        super().start(deadline)

    def remove(self) -> None:
        super().remove()
        self._ip.run("netns", "delete", self.namespace)


@pytest.fixture(scope="session")
def bridged() -> Iterator[BridgedDaemon]:
    """The engine's daemon."""
    require_root()
    directory = Path(tempfile.mkdtemp(prefix="pyregistry-image-"))
    daemon = BridgedDaemon(directory)
    try:
        start_or_skip(daemon)
        yield daemon
    finally:
        daemon.stop()
        daemon.remove()


@pytest.fixture(scope="session")
def docker(bridged: BridgedDaemon) -> Engine:
    """`docker` with that engine."""
    return Engine(bridged)


@pytest.fixture(scope="session")
def base(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Debian with Python, in the place of the Dockerfile's base, which cannot be pulled everywhere."""
    debootstrap = Client(require("debootstrap", "debootstrap"))
    root = tmp_path_factory.mktemp("base")
    release = Path("/etc/os-release").read_text()
    codename = re.search(r"^VERSION_CODENAME=(\w+)$", release, re.MULTILINE)
    assert codename is not None
    packages = "--include=python3,python3-venv,ca-certificates"
    debootstrap.run("--variant=minbase", packages, codename[1], root, deadline=PATIENCE)
    with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run([*docker.command, "import", "-", BASE], stdin=tar.stdout, check=True, capture_output=True)
    shutil.rmtree(root)
    return BASE


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All packages that a build of the image needs, for the system's Python, whose version is the base's."""
    directory = tmp_path_factory.mktemp("wheels")
    source = directory / "source"
    source.mkdir()
    copy_source(source)
    subprocess.run([require("/usr/bin/python3", "python3"), "-m", "venv", directory / "venv"], check=True)
    pip = Client(directory / "venv/bin/pip")
    exact = ("--constraint", source / "constraints/image.txt")
    pip.run("wheel", "--quiet", "--wheel-dir", directory / "wheels", *exact, source, "setuptools", "cyclonedx-bom")
    return directory / "wheels"


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One state of the source tree for all images, which have to be alike."""
    directory = tmp_path_factory.mktemp("source")
    copy_known_files(directory)
    return directory


@pytest.fixture(scope="session")
def made(docker: Engine, base: str, source: Path, wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy of the source tree in which `make image` built our image with docker."""
    copy = tmp_path_factory.mktemp("made") / "copy"
    engine = {"ENGINE": " ".join(docker.command), "DOCKER_BUILDKIT": "0"}
    make_image(source, copy, wheels, **engine, BASE=base, IMAGE=IMAGE, OPTIONS="")
    return copy


@pytest.fixture(scope="session")
def image(made: Path) -> str:
    """Our image."""
    assert made.is_dir()
    return IMAGE


def copy_source(directory: Path) -> None:
    """Copy what the image is made of."""
    for name in ("Dockerfile", ".dockerignore", "entrypoint.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(SOURCE_TREE / name, directory)
    for name in ("pyregistry", "config", "constraints"):
        shutil.copytree(SOURCE_TREE / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture
def volume() -> Iterator[Path]:
    """A directory of root's, as `docker run -v` makes it."""
    directory = Path(tempfile.mkdtemp(prefix="pyregistry-volume-"))
    directory.chmod(0o755)
    assert directory.stat().st_uid == os.geteuid() == 0
    yield directory
    shutil.rmtree(directory)
