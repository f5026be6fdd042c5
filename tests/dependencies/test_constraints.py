"""The files of `constraints/` are what pyproject.toml says."""

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.dependencies import constraints
from tests.dependencies.constraints import (
    FLOORS,
    IMAGE,
    build_requirements,
    floor,
    floors_text,
    read_pins,
    requirements,
)
from tests.processes import SOURCE_TREE

DEPENDENCIES = requirements()
IN_IMAGE = [*DEPENDENCIES, *build_requirements()]


def test_the_floors_are_those_of_pyproject() -> None:
    assert FLOORS.read_text() == floors_text(), "run `make constraints`"


@pytest.mark.parametrize("requirement", DEPENDENCIES, ids=lambda requirement: requirement.name)
def test_a_dependency_allows_its_floor_and_what_the_tests_run_with(requirement: Requirement) -> None:
    assert requirement.specifier.contains(floor(requirement))
    assert read_pins(FLOORS)[canonicalize_name(requirement.name)] == Version(floor(requirement))


@pytest.mark.parametrize("line", ["aiohttp", "aiohttp<4", "aiohttp==3.14.4"])
def test_a_requirement_without_a_floor_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="write aiohttp>=VERSION"):
        floor(Requirement(line))


@pytest.mark.parametrize("requirement", IN_IMAGE, ids=lambda requirement: requirement.name)
def test_the_image_has_an_exact_version_that_pyproject_allows(requirement: Requirement) -> None:
    assert requirement.specifier.contains(str(read_pins(IMAGE)[canonicalize_name(requirement.name)]))


def test_the_image_is_built_with_its_constraints() -> None:
    """By pip's own variables; tests/image/test_versions.py looks at what is in the image."""
    lines = (SOURCE_TREE / "Dockerfile").read_text().splitlines()
    assert {
        f"ARG PIP_CONSTRAINT=/src/{IMAGE.relative_to(SOURCE_TREE)}",
        "ARG PIP_BUILD_CONSTRAINT=${PIP_CONSTRAINT}",
    } <= set(lines)


def test_the_image_has_a_python_that_is_tested() -> None:
    assert constraints.image_python() in constraints.supported_pythons()


def test_dependabot_reads_the_base_of_the_image() -> None:
    base = re.search(r"^ARG BASE=(.*)$", (SOURCE_TREE / "Dockerfile").read_text(), re.MULTILINE)
    copy = re.search(r"^FROM (.*)$", (SOURCE_TREE / "constraints/Dockerfile").read_text(), re.MULTILINE)
    assert base is not None
    assert copy is not None
    assert base[1] == copy[1]


def test_an_upper_bound_has_a_reason() -> None:
    lines = re.findall(r'^  "[^"]*<[^"]*",.*$', constraints.PYPROJECT.read_text(), re.MULTILINE)
    assert lines
    assert [line for line in lines if "#" not in line] == []
