"""The sizes that CONTRIBUTING allows: below 500 lines for a file, at most 60 for a function."""

import ast
import subprocess

from tests.processes import SOURCE_TREE

FILE_LINES = 500
FUNCTION_LINES = 60
MODEL = "tests/gc/model/"
"""Its steps stand side by side in one function, as in the proof that they are read with."""


def _sources() -> dict[str, str]:
    names = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=SOURCE_TREE, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return {name: (SOURCE_TREE / name).read_text() for name in names if (SOURCE_TREE / name).exists()}


def _long_functions(source: str) -> list[str]:
    return [
        f"{node.name}: {lines} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    ]


def test_no_file_is_too_long() -> None:
    sources = _sources()
    assert "pyregistry/service/app.py" in sources
    assert {name: lines for name, text in sources.items() if (lines := text.count("\n")) >= FILE_LINES} == {}


def test_no_function_is_too_long() -> None:
    sources = {name: text for name, text in _sources().items() if not name.startswith(MODEL)}
    assert {name: found for name, text in sources.items() if (found := _long_functions(text))} == {}


def test_a_long_function_would_be_found() -> None:
    body = "    pass\n" * FUNCTION_LINES
    assert _long_functions(f"def short():\n{body[: -len('    pass' + chr(10))]}") == []
    assert _long_functions(f"class A:\n async def long(self):\n{body}") == [f"long: {FUNCTION_LINES + 1} lines"]
