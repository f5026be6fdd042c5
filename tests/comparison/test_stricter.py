"""The page of stricter responses than those of the CNCF registry 3.1.1 is true of both; elsewhere they agree."""

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.comparison.alike import ALIKE
from tests.comparison.asking import Answer
from tests.comparison.page import rows_of
from tests.comparison.pairs import Pairs
from tests.comparison.stricter import ROWS

_CELLS = re.compile(r"^\| (.+) \| ([1-5]\d\d)(?: `(\w+)`)? \| ([1-5]\d\d)(?: `(\w+)`)? \| (.+) \|$", re.ASCII)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pairs]:
    with ExitStack() as stack:
        pairs = Pairs(tmp_path_factory.mktemp("both"), stack)
        yield pairs
        assert pairs.faults() == []


def _page() -> dict[str, tuple[str, str]]:
    """By the request: what the page says that 3.1.1 and we answer, as `_said` writes it."""
    found = {}
    for line in rows_of("Request"):
        cells = _CELLS.match(line)
        assert cells is not None, f"no row of a request, two answers and a reason: {line}"
        words, status, code, our_status, our_code, _ = cells.groups(default="")
        assert words not in found, words
        found[words] = (f"{status} {code}".strip(), f"{our_status} {our_code}".strip())
    return found


def _said(answer: Answer) -> str:
    return f"{answer.status} {answer.code}".strip()


def test_every_row_of_the_page_is_asked_for_and_every_request_is_in_the_page() -> None:
    assert list(_page()) == list(ROWS)


@pytest.mark.parametrize("words", ROWS)
def test_a_row_of_the_page_is_true_of_both_registries(pairs: Pairs, words: str) -> None:
    cncf, ours = pairs.of(ROWS[words].kind).ask(ROWS[words].request)
    assert (_said(cncf), _said(ours)) == _page()[words]
    assert cncf.status // 100 < ours.status // 100 or ours.status == 429, "this row is not about something stricter"


@pytest.mark.parametrize("words", ALIKE)
def test_an_unusual_request_ends_as_with_the_cncf_registry(pairs: Pairs, words: str) -> None:
    cncf, ours = pairs.of(ALIKE[words].kind).ask(ALIKE[words].request)
    assert cncf.status < 500, (cncf.status, cncf.body)
    assert ours.status // 100 == cncf.status // 100, (cncf.status, cncf.body, ours.status, ours.body)
