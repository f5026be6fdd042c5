"""The packages of `make dist`: the same bytes each time, and a wheel that serves from an environment of its own."""

import os
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

from pyregistry import __version__
from tests.engine.client import Client
from tests.engine.images import digest_of, oci_image
from tests.engine.wire import Wire
from tests.packages.building import build_packages, git
from tests.processes import SOURCE_TREE, Server, pyregistry_server, require

NAME = "pyregistry_oci"

pytestmark = pytest.mark.timeout(900)  # pip may have to fetch and unpack all that the server needs


def committed() -> int:
    """Return the time of the last commit, in seconds since 1970."""
    return int(git(SOURCE_TREE, "log", "-1", "--format=%ct"))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The source package and the wheel."""
    require("git", "git")
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("SOURCE_DATE_EPOCH", raising=False)
        return build_packages(SOURCE_TREE, tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def installed(packages: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel and what it asks for."""
    directory = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", directory], check=True)
    programs = directory / "bin"
    Client(programs / "pip").run("install", "--quiet", packages[1], deadline=800)
    return programs


def test_they_have_the_name_and_the_version(packages: list[Path]) -> None:
    assert [package.name for package in packages] == [
        f"{NAME}-{__version__}.tar.gz",
        f"{NAME}-{__version__}-py3-none-any.whl",
    ]


def test_they_are_the_same_bytes_whatever_umask_directory_and_time_zone(
    packages: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(committed()))
    mask = os.umask(0o077)
    try:
        again = build_packages(SOURCE_TREE, tmp_path / "elsewhere")
    finally:
        os.umask(mask)
    assert [package.read_bytes() for package in again] == [package.read_bytes() for package in packages]


def test_time_in_them_is_the_one_of_the_commit(packages: list[Path]) -> None:
    with tarfile.open(packages[0]) as archive:
        assert {member.mtime for member in archive} == {committed()}
    moment = time.gmtime(committed() // 2 * 2)  # zip counts in steps of two seconds
    with zipfile.ZipFile(packages[1]) as archive_of_wheel:
        assert {entry.date_time for entry in archive_of_wheel.infolist()} == {tuple(moment)[:6]}


def test_source_package_has_every_file_that_git_knows(packages: list[Path]) -> None:
    tracked = git(SOURCE_TREE, "ls-files", "-z").split("\0")
    expected = {name for name in tracked if (SOURCE_TREE / name).is_file()}
    with tarfile.open(packages[0]) as archive:
        packed = {member.name.split("/", 1)[1] for member in archive if member.isfile()}
    assert expected - packed == set()
    made = {"PKG-INFO", "setup.cfg"}
    assert {name for name in packed - expected if ".egg-info/" not in name} == made


def test_wheel_has_the_package_and_nothing_else(packages: list[Path]) -> None:
    with zipfile.ZipFile(packages[1]) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"pyregistry", f"{NAME}-{__version__}.dist-info"}
    assert {"pyregistry/py.typed", "pyregistry/service/server.py"} <= set(names)


def test_extras_name_the_distribution_itself() -> None:
    project = tomllib.loads((SOURCE_TREE / "pyproject.toml").read_text())["project"]
    own = [line for lines in project["optional-dependencies"].values() for line in lines if "pyregistry" in line]
    assert own
    assert {line.split("[")[0] for line in own} == {project["name"]}


def test_wheel_in_an_environment_of_its_own_serves(installed: Path, tmp_path: Path) -> None:
    assert __version__ in Client(installed / "pyregistry").run("--version")
    assert __version__ in Client(installed / "registry").run("--version")
    assert "No broken requirements" in Client(installed / "pip").run("check")
    made = pyregistry_server(tmp_path)
    server = Server([str(installed / "pyregistry"), "serve", str(made.config)], tmp_path, made.port, made.config)
    del server.env["PYTHONPATH"]  # the source tree, which shall not help
    image = oci_image()
    with server, Wire(server) as wire:
        wire.push("packages/app", "1", image)
        assert wire.digest("packages/app", "1") == digest_of(image.manifest)
        assert not server.faults(), server.output()
