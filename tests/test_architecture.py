"""The newcomer's map agrees with the tree."""

import re

import pytest

from tests import architecture
from tests.processes import SOURCE_TREE

_PATHS = re.findall(r"`(pyregistry/[\w/.]*)`", architecture.PAGE.read_text())


def test_the_table_and_the_picture_are_those_of_the_tree() -> None:
    assert architecture.main([]) == 0, "run make architecture"


@pytest.mark.parametrize("path", sorted(set(_PATHS)))
def test_each_path_of_the_page_exists(path: str) -> None:
    assert (SOURCE_TREE / path).exists()


def test_every_room_has_its_sentence() -> None:
    packages = {
        path.parent.relative_to(SOURCE_TREE / "pyregistry").as_posix().replace("/", ".")
        for path in (SOURCE_TREE / "pyregistry").glob("*/**/__init__.py")
    }
    assert {name for name, sentence in architecture.rooms().items() if sentence.endswith(".")} == packages


def test_every_room_below_the_package_is_on_a_floor() -> None:
    floors = {name for layer in architecture.floors()["pyregistry"] for name in layer}
    assert {name for name in architecture.rooms() if "." not in name} <= floors


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ({("a", "b"), ("b", "c"), ("a", "c")}, {("a", "b"), ("b", "c")}),
        ({("a", "b"), ("a", "c")}, {("a", "b"), ("a", "c")}),
        ({("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")}, {("a", "b"), ("b", "c"), ("c", "d")}),
    ],
)
def test_an_arrow_that_a_longer_way_implies_is_left_out(
    edges: set[tuple[str, str]], expected: set[tuple[str, str]]
) -> None:
    assert architecture.reduced(edges) == expected
