"""The check of our English finds what it is for, and leaves the rest."""

from collections.abc import Iterator

import pytest

from tests import words

_LONG = "one two three four five six seven eight nine ten " * 2 + "end"


def of_python(source: str) -> list[str]:
    return [fault for text in words.texts_of_python(source) for fault in words.faults(text, prose=True)]


def of_markdown(source: str) -> list[str]:
    return [fault for text in words.texts_of_markdown(source) for fault in words.faults(text, prose=True)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('"""What it is."""', "begins with 'What'"),
        ('class A:\n    x = 1\n    """Whether it is."""', "begins with 'Whether'"),
        ('def f():\n    """See Driver.stat."""', "use @override"),
        ("x = 1  # nobody reads it", "'nobody' has a plainer word"),
        ("# the first line, and\n# whoever reads it", "'whoever' has a plainer word"),
        ('raise Error("it is of no use")', "'of no use' has a plainer word"),
        (f'"""Return {_LONG}."""', "22 words in one sentence"),
        (f"# {_LONG}", "21 words in one sentence"),
    ],
)
def test_a_fault_of_the_code_is_found(source: str, expected: str) -> None:
    [fault] = of_python(source)
    assert expected in fault


@pytest.mark.parametrize(
    "source",
    [
        '"""Return what it is."""',
        '"""Seek the end."""',
        "x = y is None  # is None",
        "x = 1  # noqa: E501 - nobody",
        f'"""Return a tree:\n\nIt is this.\n\n        {_LONG} {_LONG}\n"""',
        f"# {_LONG[:60]}. {_LONG[:60]}.",
        f'"""Return `{_LONG}`, which is code."""',
    ],
)
def test_what_is_right_is_left(source: str) -> None:
    assert of_python(source) == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        (f"{_LONG}\n", 1),
        (f"- {_LONG}\n- {_LONG}\n", 2),
        (f"| {_LONG} |\n", 0),
        (f"```\n{_LONG}\n```\n", 0),
        ("A [link that has a few words](docs/of/nobody.md) is its words.\n", 0),
        ("Nobody came.\n", 1),
    ],
)
def test_documents_are_read_without_their_code_and_tables(source: str, count: int) -> None:
    assert len(of_markdown(source)) == count


def _names() -> Iterator[str]:
    for path in words.tracked():
        yield path.relative_to(words.ROOT).as_posix()


def test_the_code_and_all_documents_are_read() -> None:
    assert {"pyregistry/service/app.py", "README.md", "docs/gc.md", "docs/decisions/0052-objects.md"} <= set(_names())
