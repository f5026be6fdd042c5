"""The private names of aiohttp, gunicorn and asyncio: only api/transport uses them, and a page lists each."""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import SOURCE_TREE

_PAGE = SOURCE_TREE / "docs/decisions/0049-fast-path-and-private-names.md"
_ROOM = SOURCE_TREE / "pyregistry/api/transport"
_FOREIGN = ("aiohttp", "asyncio", "gunicorn", "ssl", "socket", "selectors")
_DOCUMENTED_MODULES = {
    *("aiohttp", "aiohttp.web", "aiohttp.abc", "aiohttp.hdrs", "aiohttp.test_utils", "aiohttp.typedefs"),
    *("asyncio", "ssl", "socket", "gunicorn.app.base", "gunicorn.config", "gunicorn.workers.base"),
}
_DOCUMENTED_HOOKS = {
    *("connection_made", "connection_lost", "data_received", "eof_received", "pause_writing", "resume_writing"),
    *("create_server", "default_exception_handler", "setup", "cleanup", "shutdown", "server", "log", "filter"),
    *("init_process", "run", "do_handshake", "wrap_bio", "load", "load_config"),
}


def _files() -> list[Path]:
    return sorted((SOURCE_TREE / "pyregistry").rglob("*.py"))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _own_names() -> set[str]:
    """All private names that this project gives to something of its own."""
    names: set[str] = set()
    for path in _files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _of_self(node):
                names.add(node.attr)
    return names


def _of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}


def _of_class(kind: type) -> set[str]:
    """The names of a class and, by its source, of its instances."""
    names = set(vars(kind))
    try:
        tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(kind)))
    except (OSError, TypeError):  # written in C
        return names
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _of_self(node)}


def _foreign_names(kind: type) -> set[str]:
    bases = [base for base in kind.__mro__ if base.__module__.partition(".")[0] in _FOREIGN]
    return {name for base in bases for name in _of_class(base)} - {"_abc_impl"}


def _classes(path: Path) -> Iterator[tuple[ast.ClassDef, type]]:
    module = importlib.import_module(".".join(path.relative_to(SOURCE_TREE).with_suffix("").parts))
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            yield node, getattr(module, node.name)


def _inherited(path: Path) -> set[str]:
    """Private names, and undocumented hooks, that the classes of a file have from foreign ones."""
    found: set[str] = set()
    for node, kind in _classes(path):
        foreign = _foreign_names(kind)
        used = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute) and _of_self(each)}
        defined = {name for name in vars(kind) if not name.startswith("__")}
        found |= {name for name in used | defined if _is_private(name) and name in foreign}
        found |= {name for name in defined if not _is_private(name) and name in foreign} - _DOCUMENTED_HOOKS
    return found


def _touched(path: Path, own: set[str]) -> set[str]:
    """Private names of other objects."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
    touched = {node.attr for node in nodes if _is_private(node.attr) and not _of_self(node)}
    return {name for name in touched if name not in own and name != "_replace"}  # documented of named tuples


def _imported(path: Path) -> set[str]:
    """Undocumented modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {name for name in names if name.partition(".")[0] in {"aiohttp", "gunicorn"}}
    return found - _DOCUMENTED_MODULES


def _used(path: Path, own: set[str]) -> set[str]:
    return _inherited(path) | _touched(path, own) | _imported(path)


def test_only_the_transport_room_uses_private_names() -> None:
    own = _own_names()
    outside = [path for path in _files() if _ROOM not in path.parents]
    found = {
        str(path.relative_to(SOURCE_TREE)): names
        for path in outside
        if (names := _touched(path, own) | _imported(path))
    }
    assert found == {}


def test_the_page_lists_each_private_name_that_the_room_uses() -> None:
    own = _own_names()
    used = {name for path in _ROOM.glob("*.py") for name in _used(path, own)}
    rows = [line for line in _PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    listed = {name for row in rows for name in re.findall(r"`([\w.]+)`", row.split("|")[2])}
    assert used == listed


def test_a_private_name_that_is_not_listed_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("import aiohttp.http_writer\n\ndef f(request):\n    return request._payload_writer\n")
    assert _touched(path, _own_names()) | _imported(path) == {"_payload_writer", "aiohttp.http_writer"}


@pytest.mark.parametrize("name", ["_waiter", "_make_server", "finish_response", "aiohttp.http_parser"])
def test_the_search_finds_what_is_known_to_be_used(name: str) -> None:
    own = _own_names()
    assert name in {found for path in _ROOM.glob("*.py") for found in _used(path, own)}


if __name__ == "__main__":
    for each in sorted(_ROOM.glob("*.py")):
        print(each.name, sorted(_used(each, _own_names())), file=sys.stdout)  # noqa: T201 # a look at the list
