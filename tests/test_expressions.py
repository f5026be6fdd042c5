"""Every regular expression of the package, and that its time is linear in what strangers may write."""

import ast
import importlib
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from time import thread_time

import pytest

import pyregistry

PACKAGE = Path(pyregistry.__file__).parent

OF_STRANGERS = {
    "api.http.access_log": ["_SAFE", "_SAFE_WORD"],
    "api.transport.framing": ["_SIZE", "_NEXT_SIZE", "_TRAILER"],
    "api.transport.heads": ["BEGIN", "_CHUNKED", "_LENGTH", "_NEWER", "_VALUE"],
    "api.transport.plain_heads": ["_HEADER", "_LINE", "_TARGET"],
    "api.http.origin": ["_HOST"],
    "api.handlers.paging": ["_NUMBER"],
    "api.http.ranges": ["_SPEC", "_CONTENT_RANGE"],
    "api.http.request_id": ["_HARMLESS"],
    "api.handlers.uploads": ["_OFFSET"],
    "cli.output": ["_NOT_PLAIN"],
    "cli.tables": ["_FORGES_A_COLUMN"],
    "fsck.blobs": ["_PREFIX"],
    "fsck.entries": ["_TEMPORARY"],
    "gc.references": ["_DIGEST_SHAPED", "_ESCAPED"],
    "oci.digest": ["_ENCODED"],
    "oci.json_text": ["_OBJECT", "_ESCAPES"],
    "oci.names": ["_COMPONENT", "_TAG", "_UPLOAD_ID"],
    "storage.uploads.pieces": ["_PIECE"],
}
"""Expressions for text of clients, or of other registries on the disk; tests/auth/test_patterns has the rules'."""
SEARCHED = {"cli.output._NOT_PLAIN", "cli.tables._FORGES_A_COLUMN", "gc.references._DIGEST_SHAPED"} | {
    "gc.references._ESCAPED",
    "oci.json_text._ESCAPES",
}
"""Expressions that are searched for in a whole document; the others are tried at one place."""

OF_OPERATORS = {
    "auth.policy": ["_PATTERN"],
    "cli.check_config": [],
    "cli.tables": ["_SIZE"],
    "config.environment": ["_KUBERNETES"],
    "config.validate": ["_TOKEN", "_PREFIX", "_PLATFORM", "_UNPRINTABLE"],
    "config.values": ["_PART", "_DURATION"],
    "common.expressions": ["_ANY_BYTE"],
    "storage.local.file_systems": ["_ESCAPED"],
}
"""Expressions for the config, the environment, the command line and the table of mounts alone."""


def _uses_of_re() -> dict[str, list[str]]:
    """The modules that call `re`, with the module's names that hold what was compiled."""
    found: dict[str, list[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        tree = ast.parse(path.read_text())
        if any(_is_use(node) for node in ast.walk(tree)):
            found[module] = [
                target.id
                for statement in tree.body
                if isinstance(statement, ast.Assign | ast.AnnAssign)
                and statement.value is not None
                and any(_is_use(node) for node in ast.walk(statement.value))
                for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
                if isinstance(target, ast.Name)
            ]
    return found


def _is_use(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
    )


def test_every_module_with_an_expression_is_in_a_table() -> None:
    expected = {module: list(names) for module, names in OF_OPERATORS.items()}
    for module, names in OF_STRANGERS.items():
        expected.setdefault(module, []).extend(names)
    found = _uses_of_re()
    assert {module: sorted(names) for module, names in found.items()} == {
        module: sorted(names) for module, names in expected.items()
    }


def _expressions() -> Iterator[tuple[str, "re.Pattern[str] | re.Pattern[bytes]"]]:
    for module, names in OF_STRANGERS.items():
        for name in names:
            value = getattr(importlib.import_module(f"pyregistry.{module}"), name)
            for compiled in value.values() if isinstance(value, dict) else [value]:
                yield f"{module}.{name}", compiled


_EXPRESSIONS = list(_expressions())
UNITS = (
    *("a", "0", "A", "/", ".", "_", "-", " ", "\r\n", "\u00e9", "a.", "a_", "a__", "a-", "a--", "a/", "0-", "-0", "0,"),
    *("bytes=", "sha256:", "sha256:0", "data.", "data..tmp", ".tmp", "PUT /", "/blobs/uploads/", "0\r\n", "\r\n0\r\n"),
    *("0;", "a:", "[", "[::", ":0", "]", "{"),
)
BEGINNINGS = ("", "a", "0-", "PUT /", "data.", "sha256:", "\r\n0", "0;", "a:")
ENDS = ("", "!", "\n", "\x00")


@pytest.mark.parametrize(("name", "expression"), _EXPRESSIONS, ids=[name for name, _ in _EXPRESSIONS])
def test_its_time_is_linear(name: str, expression: "re.Pattern[str] | re.Pattern[bytes]") -> None:
    for beginning, unit, end in product(BEGINNINGS, UNITS, ENDS):
        for call in [expression.match, expression.fullmatch, *([expression.search] if name in SEARCHED else [])]:
            short, long = (_seconds(call, expression, beginning + unit * count + end) for count in (300, 2_400))
            # Eight times as much: quadratic is 64 times. What takes less than a millisecond is not measured.
            assert long < 24 * max(short, 0.001), (name, beginning, unit, end, call)


def _seconds(call: object, expression: "re.Pattern[str] | re.Pattern[bytes]", text: str) -> float:
    """Of this thread's processor time, the least of three."""
    subject = text.encode() if isinstance(expression.pattern, bytes) else text
    assert callable(call)
    least = float("inf")
    for _ in range(3):
        begin = thread_time()
        call(subject)
        least = min(least, thread_time() - begin)
        if least < 0.001:
            break
    return least
