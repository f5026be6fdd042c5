"""`make image`: labels, the list of packages, two builds that are the same, and a way through our own registry."""

import json
import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyregistry import __version__
from tests.engine.containers import Settings
from tests.engine.engine import Engine
from tests.processes import SOURCE_TREE, Server, pyregistry_server, require

SECONDS = 1_700_000_000
TIME = "2023-11-14T22:13:20Z"
OURS = tomllib.loads((SOURCE_TREE / "pyproject.toml").read_text())["project"]["name"]
PACKAGES = {"aiohttp", "gunicorn", "msgspec", "structlog", OURS}
LABELS = {
    "title": "pyregistry",
    "description": "A private OCI and Docker registry on one directory",
    "licenses": "Apache-2.0",
    "version": __version__,
    "created": TIME,
    "source": "https://example.org/pyregistry.git",
}


class Builder:
    """podman with the base and a storage of its own, and `make image` in copies of the source tree."""

    def __init__(self, directory: Path, base: Path, wheels: Path) -> None:
        self._directory, self._wheels = directory, wheels
        require("git", "git")
        self._settings = Settings(directory)
        roots = ["--root", f"{directory}/root", "--runroot", f"{directory}/run", "--tmpdir", f"{directory}/tmp"]
        runs = ["--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--runtime", require("runc", "runc")]
        self._command = [require("podman", "podman"), *roots, *runs]
        self._env = {**os.environ, **self._settings.env}
        self._policy = ["--signature-policy", str(self._settings.policy)]
        self.podman("load", "--quiet", *self._policy, "--input", str(base))

    def podman(self, *words: str) -> str:
        return self._run([*self._command, *words], self._directory)

    def _run(self, words: list[str], place: Path, **environ: str) -> str:
        done = subprocess.run(
            words, cwd=place, env={**self._env, **environ}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def make(self, name: str, **variables: str) -> Path:
        """Build an image of this name in a copy of the source tree, and return the copy."""
        copy = self._directory / name
        copy.mkdir()
        copied = self._run(["git", "ls-files", "-z"], SOURCE_TREE).split("\0")
        for file in filter(None, copied):
            if (SOURCE_TREE / file).exists():
                (copy / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(SOURCE_TREE / file, copy / file)
                os.utime(copy / file)  # which is another time in each copy
        shutil.copytree(self._wheels, copy / "wheels")
        author = {"GIT_AUTHOR_DATE": f"{SECONDS} +0000", "GIT_COMMITTER_DATE": f"{SECONDS} +0000"}
        author |= {f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self._run(["git", "init", "--quiet"], copy)
        self._run(["git", "add", "--all", "--", ".", ":!wheels"], copy)
        self._run(["git", "commit", "--quiet", "--message", "all"], copy, **author)
        self._run(["git", "remote", "add", "origin", LABELS["source"]], copy)
        here = ["--isolation", "chroot", "--network", "host", "--no-cache", *self._policy]
        environ = {"ENGINE": " ".join(self._command), "BASE": "localhost/python-base:test", "OPTIONS": " ".join(here)}
        environ |= {"IMAGE": f"localhost/{name}", "PIP_OPTIONS": "--no-index --find-links=wheels"}
        self._run(["make", "image"], copy, **{**environ, **variables})
        return copy

    def inspect(self, name: str) -> Any:
        return json.loads(self.podman("image", "inspect", name))[0]

    def remote(self, *words: str) -> str:
        return self.podman(*words[:-1], *self._settings.remote, words[-1])


@pytest.fixture
def builder(docker: Engine, base: str, wheels: Path) -> Iterator[Builder]:
    directory = Path(tempfile.mkdtemp(prefix="pyregistry-make-"))
    try:
        docker.run("save", "--output", directory / "base.tar", base)
        yield Builder(directory, directory / "base.tar", wheels)
    finally:
        for line in Path("/proc/self/mounts").read_text().splitlines()[::-1]:
            if line.split()[1].startswith(f"{directory}/"):
                subprocess.run(["umount", "--lazy", line.split()[1]], check=True)
        shutil.rmtree(directory)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Server]:
    with pyregistry_server(tmp_path) as running:
        yield running


def named_in(path: Path) -> set[str]:
    """Return the names of all packages in a CycloneDX document."""
    bill = json.loads(path.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    return {bill["metadata"]["component"]["name"], *(each["name"] for each in bill["components"])}


def test_two_builds_are_the_same_image_and_it_goes_through_our_registry(builder: Builder, registry: Server) -> None:
    first, second = (builder.make(name, FORMAT="oci") for name in ("first", "second"))
    image = builder.inspect("localhost/first")
    assert image["Id"] == builder.inspect("localhost/second")["Id"]

    labels = {f"org.opencontainers.image.{name}": value for name, value in LABELS.items()}
    assert labels.items() <= image["Labels"].items()
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=first, capture_output=True, text=True, check=True)
    commit = revision.stdout.strip()
    assert image["Labels"]["org.opencontainers.image.revision"] == commit
    documentation = f"https://example.org/pyregistry/blob/{commit}/README.md"
    assert image["Labels"]["org.opencontainers.image.documentation"] == documentation

    content = (first / "build/sbom.cdx.json").read_bytes()
    assert content == (second / "build/sbom.cdx.json").read_bytes()
    named = named_in(first / "build/sbom.cdx.json")
    assert named >= PACKAGES
    assert not {"pip", "setuptools", "cyclonedx-bom"} & named

    name = f"{registry.host}/pyregistry:{__version__}"
    builder.podman("tag", "localhost/first", name)
    builder.remote("push", name)
    builder.podman("image", "rm", "--force", name, "localhost/first", "localhost/second")
    builder.remote("pull", name)
    assert builder.inspect(name)["Id"] == image["Id"]


def test_the_usual_format_has_a_health_check_and_the_same_layers_twice(builder: Builder) -> None:
    names = ("first", "second")
    for name in names:
        builder.make(name)
    first, second = (builder.inspect(f"localhost/{name}") for name in names)
    assert first["RootFS"]["Layers"] == second["RootFS"]["Layers"]
    assert first["Labels"] == second["Labels"]
    assert first["Healthcheck"]["Test"] == ["CMD", "pyregistry", "healthcheck"]


def test_docker_builds_it_too(builder: Builder, docker: Engine, base: str) -> None:
    engine = {"ENGINE": " ".join(docker.command), "DOCKER_BUILDKIT": "0", "OPTIONS": "", "BASE": base}
    copy = builder.make("made", **engine, IMAGE="made")
    made = docker.json("image", "inspect", "made")[0]["Config"]
    docker.forget("made")
    assert made["Healthcheck"]["Test"] == ["CMD", "pyregistry", "healthcheck"]
    labels = {f"org.opencontainers.image.{name}": value for name, value in LABELS.items()}
    assert labels.items() <= made["Labels"].items()
    assert named_in(copy / "build/sbom.cdx.json") >= PACKAGES
