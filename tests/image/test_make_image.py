"""`make image`: labels, the list of packages, two builds that are the same, and a way through our own registry."""

import json
import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pyregistry import __version__
from tests.engine.containers import Settings
from tests.engine.engine import Engine
from tests.image.making import SOURCE, TIME, make_image
from tests.processes import SOURCE_TREE, Server, pyregistry_server, require

OURS = tomllib.loads((SOURCE_TREE / "pyproject.toml").read_text())["project"]["name"]
PACKAGES = {"aiohttp", "gunicorn", "msgspec", "structlog", OURS}
LABELS = {
    "title": "pyregistry",
    "description": "A private OCI and Docker registry on one directory",
    "licenses": "Apache-2.0",
    "version": __version__,
    "created": TIME,
    "source": SOURCE,
}


class Builder:
    """podman with the base and a storage of its own, and `make image` in copies of the source tree."""

    def __init__(self, directory: Path, base: Path, source: Path, wheels: Path) -> None:
        self._directory, self._source, self._wheels = directory, source, wheels
        self._settings = Settings(directory)
        roots = ["--root", f"{directory}/root", "--runroot", f"{directory}/run", "--tmpdir", f"{directory}/tmp"]
        runs = ["--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--runtime", require("runc", "runc")]
        self._command = [require("podman", "podman"), *roots, *runs]
        self._policy = ["--signature-policy", str(self._settings.policy)]
        self.podman("load", "--quiet", *self._policy, "--input", str(base))

    def podman(self, *words: str) -> str:
        command, env = [*self._command, *words], {**os.environ, **self._settings.env}
        done = subprocess.run(command, cwd=self._directory, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def make(self, name: str, **variables: str) -> "Made":
        """Build an image of this name in a copy of the source tree."""
        copy = self._directory / name
        here = ["--isolation", "chroot", "--network", "host", "--no-cache", *self._policy]
        environ = {"ENGINE": " ".join(self._command), "BASE": "localhost/python-base:test", "OPTIONS": " ".join(here)}
        environ |= {**self._settings.env, **variables, "IMAGE": f"localhost/{name}"}
        make_image(self._source, copy, self._wheels, **environ)
        return Made(copy, self.inspect(f"localhost/{name}"))

    def inspect(self, name: str) -> Any:
        return json.loads(self.podman("image", "inspect", name))[0]

    def remote(self, *words: str) -> str:
        return self.podman(*words[:-1], *self._settings.remote, words[-1])


@dataclass(frozen=True)
class Made:
    """A copy of the source tree, and what the engine says of the image that was made there."""

    copy: Path
    image: Any


@pytest.fixture(scope="module")
def builder(docker: Engine, base: str, source: Path, wheels: Path) -> Iterator[Builder]:
    directory = Path(tempfile.mkdtemp(prefix="pyregistry-make-"))
    try:
        docker.run("save", "--output", directory / "base.tar", base)
        yield Builder(directory, directory / "base.tar", source, wheels)
    finally:
        for line in Path("/proc/self/mounts").read_text().splitlines()[::-1]:
            if line.split()[1].startswith(f"{directory}/"):
                subprocess.run(["umount", "--lazy", line.split()[1]], check=True)
        shutil.rmtree(directory)


@pytest.fixture(scope="module")
def first(builder: Builder) -> Made:
    """The image that the others have to be like."""
    return builder.make("first", FORMAT="oci")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Server]:
    with pyregistry_server(tmp_path) as running:
        yield running


def named_in(path: Path) -> set[str]:
    """Return the names of all packages in a CycloneDX document."""
    bill = json.loads(path.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    return {bill["metadata"]["component"]["name"], *(each["name"] for each in bill["components"])}


def test_two_builds_are_the_same_image_and_it_goes_through_our_registry(
    builder: Builder, first: Made, registry: Server
) -> None:
    second = builder.make("second", FORMAT="oci")
    image = first.image
    assert image["Id"] == second.image["Id"]

    labels = {f"org.opencontainers.image.{name}": value for name, value in LABELS.items()}
    assert labels.items() <= image["Labels"].items()
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=first.copy, capture_output=True, text=True, check=True)
    commit = revision.stdout.strip()
    assert image["Labels"]["org.opencontainers.image.revision"] == commit
    documentation = f"https://example.org/pyregistry/blob/{commit}/README.md"
    assert image["Labels"]["org.opencontainers.image.documentation"] == documentation

    content = (first.copy / "build/sbom.cdx.json").read_bytes()
    assert content == (second.copy / "build/sbom.cdx.json").read_bytes()
    named = named_in(first.copy / "build/sbom.cdx.json")
    assert named >= PACKAGES
    assert not {"pip", "setuptools", "cyclonedx-bom"} & named

    name = f"{registry.host}/pyregistry:{__version__}"
    builder.podman("tag", "localhost/first", name)
    builder.remote("push", name)
    builder.podman("image", "rm", "--force", name, "localhost/first", "localhost/second")
    builder.remote("pull", name)
    assert builder.inspect(name)["Id"] == image["Id"]


def test_the_usual_format_has_a_health_check_and_the_same_layers(builder: Builder, first: Made) -> None:
    usual = builder.make("usual").image
    assert usual["RootFS"]["Layers"] == first.image["RootFS"]["Layers"]
    assert usual["Labels"] == first.image["Labels"]
    assert usual["Healthcheck"]["Test"] == ["CMD", "pyregistry", "healthcheck"]


def test_docker_builds_it_too(made: Path, docker: Engine, image: str) -> None:
    config = docker.json("image", "inspect", image)[0]["Config"]
    assert config["Healthcheck"]["Test"] == ["CMD", "pyregistry", "healthcheck"]
    labels = {f"org.opencontainers.image.{name}": value for name, value in LABELS.items()}
    assert labels.items() <= config["Labels"].items()
    assert named_in(made / "build/sbom.cdx.json") >= PACKAGES
