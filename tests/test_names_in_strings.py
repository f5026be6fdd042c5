"""Code in strings: programs, patched names and mutants name modules that no type checker looks at."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.processes import SOURCE_TREE

_NAME = re.compile(r"(?:from|import)\s+(pyregistry(?:\.\w+)+)|^(pyregistry(?:\.[a-z_]+){3,})(?:\.\w+)*$", re.MULTILINE)


def _strings() -> Iterator[tuple[str, str]]:
    """Yield each module that a string of a test names, with the file."""
    for path in sorted((SOURCE_TREE / "tests").rglob("*.py")):
        if path == Path(__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for found in _NAME.finditer(node.value):
                    yield path.relative_to(SOURCE_TREE).as_posix(), found[1] or found[2]


@cache
def _exists(module: str) -> bool:
    """Return True for a module, a package, or a name in one."""
    path = SOURCE_TREE.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or path.is_dir() or _is_name(module)


def _is_name(dotted: str) -> bool:
    module, _, name = dotted.rpartition(".")
    path = SOURCE_TREE.joinpath(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return source.exists() and re.search(rf"\b{name}\b", source.read_text()) is not None


def test_strings_that_name_modules_are_found() -> None:
    assert _exists("pyregistry.service.server")
    assert not _exists("pyregistry.nothing.of.this.name")
    assert not _exists("pyregistry.service.nothing_of_this_name")


def test_a_module_that_a_string_names_exists() -> None:
    """One test for all: each process of the tests would read all sources to name one for each string."""
    names = sorted(set(_strings()))
    assert len(names) > 30
    assert [f"{file} names {name}" for file, name in names if not _exists(name)] == []
