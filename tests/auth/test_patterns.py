"""Patterns of repositories: what they match, said another way, and in time that no pattern multiplies."""

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyregistry.auth.access import Access, Action, Principal
from pyregistry.auth.policy import Policy
from pyregistry.oci.names import RepositoryName

_COMPONENTS = st.text("ab-", min_size=1, max_size=4).filter(lambda text: re.fullmatch("[ab]+(-+[ab]+)*", text))
_NAMES = st.lists(_COMPONENTS, min_size=1, max_size=5).map("/".join)
_PARTS = st.one_of(
    st.just("**"), st.text("ab-*?", min_size=1, max_size=4).filter(lambda text: "**" not in text), _COMPONENTS
)
_PATTERNS = st.lists(_PARTS, min_size=1, max_size=5).map("/".join)


def _matches(pattern: list[str], name: list[str]) -> bool:
    """By the definition: `**` is any number of components, at the end at least one."""
    if not pattern:
        return not name
    if pattern[0] == "**":
        fewest = 1 if len(pattern) == 1 else 0
        return any(_matches(pattern[1:], name[count:]) for count in range(fewest, len(name) + 1))
    return bool(name) and _fits(pattern[0], name[0]) and _matches(pattern[1:], name[1:])


def _fits(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_fits(pattern[1:], text[count:]) for count in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and _fits(pattern[1:], text[1:])


def _allows(pattern: str, name: str) -> bool:
    policy = Policy.parse([{"repositories": pattern, "who": "everyone", "actions": "pull"}], {})
    return policy.allows(Principal(), Access(Action.PULL, RepositoryName(name)))


@given(_PATTERNS, _NAMES)
@settings(max_examples=1_000, deadline=None)
@example("**/a/**/b/**", "a/a/b/b/a")
@example("**/**", "a")
@example("a*b*a/**", "abaaba/b")
@example("**/*a*/**/b", "b/ab/a/b")
def test_a_pattern_matches_what_its_definition_says(pattern: str, name: str) -> None:
    assert _allows(pattern, name) == _matches(pattern.split("/"), name.split("/"))


def test_many_stars_on_a_long_name_are_no_work() -> None:
    # Each star more would multiply the time by a hundred; the suite's time limit ends what takes hours.
    assert not _allows("**/".join(["a/"] * 20) + "b", "/".join(["a"] * 32))
    assert not _allows("*-".join(["a"] * 20) + "*b", "a-" * 120 + "a")
    assert not _allows("/".join(["*a*a*a*a*a*a*a*b"] + ["**"] * 9), "a" * 250)
