"""Mutants find their code by its syntax tree."""

import ast

import pytest

from tests.mutating import NotFoundOnce, mutate

SOURCE = """
def work(items):
    # A comment that a mutant does not quote.
    if items:  # nor this one
        first = items[0]
        return first
    with lock():
        clear(
            items,
        )
    return None
"""


@pytest.mark.parametrize(
    ("old", "new", "seen"),
    [
        ("items[0]", "items[1]", "first = items[1]"),
        ("first = items[0]\nreturn first", "return 1", "if items:\n        return 1\n"),
        ("clear(items)", "keep(items)\nclear(items)", "keep(items)\n        clear(items)"),
        ("if items:\n    ...", "if False:\n    ...", "if False:\n        first = items[0]"),
        ("with lock():\n    ...", "", "return first\n    return None"),
        ("    clear(items)\n", "    pass\n", "with lock():\n        pass"),
        ("with lock():\n    clear(items)\nreturn None", "return None", "return first\n    return None"),
    ],
)
def test_code_is_found_whatever_its_comments_and_lines(old: str, new: str, seen: str) -> None:
    assert seen in ast.unparse(mutate(SOURCE, [(old, new)]))


@pytest.mark.parametrize("old", ["items[2]", "items", "clear(items, 1)", "if items:\n    pass"])
def test_code_that_is_not_there_exactly_once_is_refused(old: str) -> None:
    with pytest.raises(NotFoundOnce):
        mutate(SOURCE, [(old, "None")])
