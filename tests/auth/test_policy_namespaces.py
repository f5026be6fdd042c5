"""The namespaces where a caller may pull anything at all, so that a walk can skip the others."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyregistry.auth.access import Access, Action, AllowAll, Principal
from pyregistry.auth.policy import Policy
from pyregistry.oci.names import RepositoryName
from tests.auth.test_policy import rule, rules

_BOB = Principal("bob")
_COMPONENTS = ("a", "b", "ab")
_NAMES = ["/".join(parts) for depth in (1, 2, 3, 4) for parts in product(_COMPONENTS, repeat=depth)]
_NAMESPACES = ["", *(name for name in _NAMES if name.count("/") < 3)]


@pytest.mark.parametrize(
    ("items", "reached", "others"),
    [
        ([], [], ["", "a", "a/b"]),
        ([rule("app")], [""], ["app", "a"]),
        ([rule("team/app")], ["", "team"], ["team/app", "other"]),
        ([rule("team/**")], ["", "team", "team/x", "team/x/y"], ["other", "tea", "team2"]),
        ([rule("team/*/x")], ["", "team", "team/any"], ["team/any/x", "other"]),
        ([rule("*/app")], ["", "a", "zz"], ["a/b"]),
        ([rule("**/app")], ["", "a", "a/b/c"], []),
        ([rule("a/**/z")], ["", "a", "a/b", "a/b/z"], ["b"]),
        ([rule(["one", "two/*"])], ["", "two"], ["one", "two/x"]),
        ([rule("**", who="alice")], [], ["", "a"]),
        ([rule("**", actions="push")], [], ["", "a"]),
        ([rule("secret/**", actions=[]), rule("**")], ["", "a", "secret2"], ["secret", "secret/x"]),
        ([rule("secret/open"), rule("secret/**", actions=[]), rule("**")], ["", "secret"], ["secret/x"]),
        ([rule("**", who="bob", actions=[]), rule("**")], [], ["", "a"]),
    ],
)
def test_a_walk_looks_only_where_a_rule_lets_the_caller_pull(
    items: list[dict[str, object]], reached: list[str], others: list[str]
) -> None:
    policy = rules(*items)
    assert [each for each in [*reached, *others] if policy.pulls_below(_BOB, each)] == reached


@pytest.mark.parametrize(
    ("items", "everything"),
    [
        ([rule("**")], True),
        ([rule("**/**")], True),
        ([rule("team/**", actions=["pull", "push"]), rule("**")], True),
        ([rule("secret", who="alice", actions=[]), rule("**")], True),
        ([rule("secret", actions=[]), rule("**")], False),
        ([rule("**"), rule("secret", actions=[])], True),
        ([rule("*")], False),
        ([rule("*/**")], False),
        ([rule("**", who="alice")], False),
        ([], False),
    ],
)
def test_who_may_pull_everything(items: list[dict[str, object]], everything: bool) -> None:
    assert rules(*items).pulls_all(_BOB) is everything


def test_without_rules_everything_is_reached() -> None:
    assert AllowAll().pulls_all(_BOB)
    assert AllowAll().pulls_below(_BOB, "a")


_PART = st.sampled_from(["a", "b", "*", "?", "a*", "**"])
_PATTERN = st.lists(_PART, min_size=1, max_size=4).map("/".join)
_RULE = st.builds(
    rule,
    st.lists(_PATTERN, min_size=1, max_size=2),
    st.sampled_from(["bob", "alice", "everyone", "anonymous"]),
    st.sampled_from([[], ["pull"], ["push"], ["pull", "push"]]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_RULE, max_size=4))
def test_nothing_that_may_be_pulled_is_left_out_whatever_the_rules(items: list[dict[str, object]]) -> None:
    policy = rules(*items)
    visible = [name for name in _NAMES if _may_pull(policy, name)]
    for namespace in _NAMESPACES:
        if not policy.pulls_below(_BOB, namespace):
            below = f"{namespace}/" if namespace else ""
            assert not [name for name in visible if name.startswith(below)], namespace
    if policy.pulls_all(_BOB):
        assert visible == _NAMES


def _may_pull(policy: Policy, name: str) -> bool:
    return policy.allows(_BOB, Access(Action.PULL, RepositoryName(name)))
