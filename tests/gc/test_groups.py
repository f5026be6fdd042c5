"""Manifests go from the top down, and those that are above each other go together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyregistry.gc.groups import components_from_the_top

TABLE = {
    "nothing": ({}, []),
    "one": ({"a": []}, [{"a"}]),
    "a chain": ({"c": [], "b": ["c"], "a": ["b"]}, [{"a"}, {"b"}, {"c"}]),
    "what is no key does not count": ({"a": ["x"], "b": ["x", "a"]}, [{"b"}, {"a"}]),
    "a circle": ({"a": ["b"], "b": ["a"]}, [{"a", "b"}]),
    "what is above and below a circle": (
        {"end": [], "a": ["b"], "b": ["a", "end"], "top": ["a"]},
        [{"top"}, {"a", "b"}, {"end"}],
    ),
    "itself": ({"a": ["a"]}, [{"a"}]),
}


@pytest.mark.parametrize(("below", "groups"), TABLE.values(), ids=TABLE)
def test_groups(below: dict[str, list[str]], groups: list[set[str]]) -> None:
    assert [set(group) for group in components_from_the_top(below)] == groups


_NODES = st.sampled_from("abcdefgh")


@given(st.dictionaries(_NODES, st.lists(_NODES, max_size=4)))
def test_each_is_in_one_group_behind_all_that_is_above_it(below: dict[str, list[str]]) -> None:
    groups = components_from_the_top(below)
    place = {digest: number for number, group in enumerate(groups) for digest in group}
    assert sorted(digest for group in groups for digest in group) == sorted(below)
    for digest in below:
        for other in _reached(digest, below) & below.keys():
            together = digest in _reached(other, below) or other == digest
            assert place[digest] == place[other] if together else place[digest] < place[other]


def test_a_chain_of_any_length_needs_no_deep_stack() -> None:
    chain: dict[str, list[str]] = {str(number): [str(number + 1)] for number in range(100_000)}
    assert [group for group in components_from_the_top(chain)] == [[str(number)] for number in range(100_000)]


def _reached(digest: str, below: dict[str, list[str]]) -> set[str]:
    reached: set[str] = set()
    unvisited = list(below.get(digest, ()))
    while unvisited:
        if (each := unvisited.pop()) not in reached and each in below:
            reached.add(each)
            unvisited += below[each]
    return reached
