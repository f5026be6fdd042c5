"""The bounds of a cache: size, age, and what goes first."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyregistry.common.bounded_cache import BoundedCache


class Clock:
    """A clock that only the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("by_use", "left"), [(False, "bc"), (True, "ac")], ids=["put", "used"])
def test_the_value_goes_first_that_was_put_or_used_longest_ago(by_use: bool, left: str) -> None:
    cache = BoundedCache[str, int](limit=2, by_use=by_use)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert [key for key in "abc" if key in cache] == list(left)


def test_a_value_that_is_put_again_is_the_last_one() -> None:
    cache = BoundedCache[str, int](limit=2)
    for key in "aba":
        cache.put(key, 1)
    cache.put("c", 1)
    assert [key for key in "abc" if key in cache] == ["a", "c"]


@pytest.mark.parametrize(("until", "end"), [(None, 110.0), (103.0, 103.0), (500.0, 500.0)])
def test_a_value_is_kept_to_its_end_and_not_prolonged_by_use(until: float | None, end: float) -> None:
    clock = Clock()
    cache = BoundedCache[str, int](limit=9, seconds=10.0, clock=clock)
    cache.put("a", 1, until)
    clock.now = end - 0.001
    assert cache.get("a") == 1
    clock.now = end
    assert cache.get("a") is None


def test_what_is_too_old_leaves_the_memory_with_the_next_value() -> None:
    clock = Clock()
    cache = BoundedCache[int, int](limit=99, seconds=10.0, clock=clock)
    for number in range(50):
        cache.put(number, number)
    clock.now += 10
    cache.put(50, 50)
    assert len(cache) == 1


@pytest.mark.parametrize("weigh", [None, len], ids=["by number", "by weight"])
@given(steps=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12)), max_size=60))
def test_the_limit_holds_after_each_step(weigh: Callable[[bytes], int] | None, steps: list[tuple[int, int]]) -> None:
    """A size of 0 takes the value out."""
    cache, values = BoundedCache[int, bytes](limit=20 if weigh else 4, weigh=weigh), dict[int, bytes]()
    for key, size in steps:
        if size:
            values[key] = b"x" * size
            cache.put(key, values[key])
            assert cache.get(key) == values[key], "the newest one fits, and stays"
        else:
            before = cache.get(key)
            assert cache.pop(key) == before
            assert key not in cache
        held = [value for each, value in values.items() if cache.get(each) == value]
        assert sum(map(len, held)) <= 20 if weigh else len(held) <= 4
        assert len(cache) <= 20
