"""The files of `constraints/`: the lowest versions that pyproject.toml allows, and the exact ones of the image."""

import json
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.dependencies.pythons import PythonMissing, find
from tests.processes import SOURCE_TREE

PYPROJECT = SOURCE_TREE / "pyproject.toml"
FLOORS = SOURCE_TREE / "constraints/floors.txt"
IMAGE = SOURCE_TREE / "constraints/image.txt"
SBOM_PROGRAM = "cyclonedx-bom"
"""Writes the image's list of packages, from an environment of its own."""

_FLOORS_HEAD = """\
# The lowest versions of the dependencies, made from pyproject.toml by `make constraints`. The tests run with these too.
"""
_IMAGE_HEAD = """\
# The exact versions of all packages in the image and of those that build it, made by `make constraints`.
"""


def requirements(*extras: str) -> list[Requirement]:
    """Return the dependencies of pyproject.toml with those of the named extras."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return [Requirement(line) for line in lines]


def build_requirements() -> list[Requirement]:
    """Return what pip installs to build the package."""
    return [Requirement(line) for line in tomllib.loads(PYPROJECT.read_text())["build-system"]["requires"]]


def floor(requirement: Requirement) -> str:
    """Return the lowest version that the requirement allows; raise ValueError if it names none."""
    lowest = [specifier.version for specifier in requirement.specifier if specifier.operator == ">="]
    if len(lowest) != 1:
        raise ValueError(f"pyproject.toml: {requirement} has no lowest version; write {requirement.name}>=VERSION")
    return lowest[0]


def floors_text() -> str:
    """Return the text of `constraints/floors.txt`, which has the dependencies and not the programs of the tests."""
    pins = [f"{requirement.name}=={floor(requirement)}" for requirement in requirements()]
    return _FLOORS_HEAD + "".join(f"{pin}\n" for pin in sorted(pins, key=str.lower))


def read_pins(path: Path) -> dict[str, Version]:
    """Return the exact version of each package in a file of constraints, by its canonical name."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    pins = [line.split("==") for line in lines]
    return {canonicalize_name(name): Version(version) for name, version in pins}


def image_python() -> str:
    """Return the version of Python that the Dockerfile's base has, such as 3.13."""
    found = re.search(r"^ARG BASE=python:(\d+\.\d+)\.", (SOURCE_TREE / "Dockerfile").read_text(), re.MULTILINE)
    assert found is not None, "Dockerfile: write `ARG BASE=python:X.Y.Z-...`"
    return found[1]


def supported_pythons() -> list[str]:
    """Return the versions of Python that pyproject.toml promises, lowest first."""
    classifiers = tomllib.loads(PYPROJECT.read_text())["project"]["classifiers"]
    prefix = "Programming Language :: Python :: "
    return [name.removeprefix(prefix) for name in classifiers if re.fullmatch(rf"{prefix}\d\.\d+", name)]


def newest_image_text() -> str:
    """Ask the package index for the newest versions, and return the text of `constraints/image.txt`.

    The versions are those that the image's Python takes. Further needs of a lower Python are added, so that a base
    with one, such as Debian's, gets exact versions too. Raise PythonMissing without the image's Python.
    """
    first = image_python()
    pins: dict[str, str] = {}
    for version in [first, *(other for other in supported_pythons() if other != first)]:
        try:
            python = find(version)
        except PythonMissing:
            if version == first:
                raise
            continue
        pins = {**_resolve(python, pins), **pins}
    return _IMAGE_HEAD + "".join(f"{name}=={pins[name]}\n" for name in sorted(pins))


def _resolve(python: Path, pins: dict[str, str]) -> dict[str, str]:
    """Return what pip would install of the project, its build and the program of the SBOM, by canonical name."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([python, "-m", "venv", directory], check=True)
        known = Path(directory, "known.txt")
        known.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
        resolve = [f"{directory}/bin/pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
        resolve += ["--ignore-installed", "--report", "-", "--constraint", str(known)]
        wanted = [str(requirement) for requirement in (*requirements(), *build_requirements())]
        found: dict[str, str] = {}
        for group in ([*wanted], [SBOM_PROGRAM]):  # two environments, whose versions may not differ either
            report = subprocess.run([*resolve, *group], check=True, stdout=subprocess.PIPE).stdout
            found |= _versions(json.loads(report)["install"])
            known.write_text("".join(f"{name}=={version}\n" for name, version in (found | pins).items()))
        return found


def _versions(installed: Iterable[dict[str, dict[str, str]]]) -> dict[str, str]:
    return {canonicalize_name(item["metadata"]["name"]): item["metadata"]["version"] for item in installed}
