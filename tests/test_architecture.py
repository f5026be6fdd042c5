"""The newcomer's map agrees with the tree."""

import re
from graphlib import TopologicalSorter

import grimp
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


def test_no_modules_import_one_another() -> None:
    graph = grimp.build_graph(architecture.PACKAGE)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert "pyregistry.gc.repository_marks" in imports["pyregistry.gc.marking"]
    TopologicalSorter(imports).prepare()  # raises CycleError, which names them; imports for types alone count too


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
