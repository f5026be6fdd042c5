"""Every target takes every kept input, and inputs close to them: a short run without the fuzzer."""

import logging
from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import CORPUS, SEEDS
from tests.fuzz.targets import TARGETS


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    """Warnings about strange lines are what these targets make."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@cache
def kept(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


@cache
def _some(target: str) -> st.SearchStrategy[bytes]:
    return st.sampled_from(sorted(kept(target)))


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_takes_what_is_kept_of_it(target: str) -> None:
    assert set(SEEDS[target]) <= set(kept(target))
    for content in kept(target):
        TARGETS[target](content)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_target_takes_what_is_close_to_that(target: str, data: st.DataObject) -> None:
    some = _some(target)
    content = bytearray(data.draw(some))
    for _ in range(data.draw(st.integers(1, 4))):
        begin = data.draw(st.integers(0, len(content)))
        end = begin + data.draw(st.integers(0, 5))
        content[begin:end] = data.draw(st.one_of(st.binary(max_size=3), some))
    TARGETS[target](bytes(content))
