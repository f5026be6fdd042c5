"""The rules as a table: patterns, callers, the first match; and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from pyregistry.auth.access import Access, Action, Principal
from pyregistry.auth.policy import Policy, PolicyInvalid
from pyregistry.config.errors import ConfigError
from pyregistry.config.load import parse
from pyregistry.oci.names import RepositoryName

_ANONYMOUS = None


def rules(*items: dict[str, Any], **groups: list[str]) -> Policy:
    return Policy.parse(items, groups)


def rule(repositories: object, who: object = "everyone", actions: object = "pull") -> dict[str, Any]:
    return {"repositories": repositories, "who": who, "actions": actions}


def decide(policy: Policy, user: str | None, action: str, repository: str) -> tuple[bool, int | None]:
    """Return the decision, and the number of the rule that makes it."""
    allowed, decisive = policy.decide(Principal(user), Access(Action(action), RepositoryName(repository)))
    return allowed, None if decisive is None else decisive.place


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("app", ["app"], ["apps", "ap", "app/x", "x/app"]),
        ("team/app", ["team/app"], ["team", "team/app/x", "team-app", "x/team/app"]),
        ("*", ["app", "a-b"], ["team/app"]),
        ("team/*", ["team/app", "team/a.b"], ["team", "team/app/x", "team2/app"]),
        ("*/app", ["team/app"], ["app", "a/b/app", "team/apps"]),
        ("team/a*", ["team/a", "team/app"], ["team/b", "team/a/b"]),
        ("a?p", ["app", "a-p"], ["ap", "a/p", "aapp"]),
        ("**", ["app", "team/app", "a/b/c/d"], []),
        ("team/**", ["team/app", "team/a/b/c"], ["team", "team2/app", "x/team/app"]),
        ("**/app", ["app", "team/app", "a/b/app"], ["app/x", "myapp", "team/myapp"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["az", "a/b", "b/z", "a/zz"]),
        ("a.b", ["a.b"], ["acb", "a-b"]),
        (["one", "two/*"], ["one", "two/x"], ["two", "one/x", "three"]),
    ],
)
def test_a_pattern_matches_whole_names(pattern: object, matching: list[str], others: list[str]) -> None:
    policy = rules(rule(pattern))
    assert [name for name in [*matching, *others] if decide(policy, _ANONYMOUS, "pull", name)[0]] == matching


@pytest.mark.parametrize(
    ("who", "callers"),
    [
        ("alice", ["alice"]),
        (["alice", "bob"], ["alice", "bob"]),
        ("anonymous", [_ANONYMOUS]),
        ("authenticated", ["alice", "bob", "carol", "anonymous", "everyone"]),
        ("everyone", [_ANONYMOUS, "alice", "bob", "carol", "anonymous", "everyone"]),
        (["anonymous", "carol"], [_ANONYMOUS, "carol"]),
        ("group:team", ["alice", "carol"]),
        (["group:team", "bob"], ["alice", "bob", "carol"]),
        ("group:nobody", []),
    ],
)
def test_a_rule_concerns_its_callers_and_no_others(who: object, callers: list[str | None]) -> None:
    policy = rules(rule("app", who), team=["alice", "carol"], nobody=[])
    everybody = [_ANONYMOUS, "alice", "bob", "carol", "anonymous", "everyone"]
    assert [user for user in everybody if decide(policy, user, "pull", "app")[0]] == callers


def test_the_first_rule_about_a_repository_and_a_caller_decides_alone() -> None:
    policy = rules(
        rule("secret/**", "carol", []),
        rule("secret/**", "alice", ["pull", "push"]),
        rule("secret/**", "everyone", []),
        rule("**", ["alice", "carol"], ["pull", "push", "delete"]),
        rule("**", "everyone", "pull"),
    )
    assert decide(policy, "alice", "push", "secret/x") == (True, 1)
    assert decide(policy, "alice", "delete", "secret/x") == (False, 1)
    assert decide(policy, "carol", "pull", "secret/x") == (False, 0)
    assert decide(policy, "bob", "pull", "secret/x") == (False, 2)
    assert decide(policy, _ANONYMOUS, "pull", "secret/x") == (False, 2)
    assert decide(policy, "carol", "delete", "open") == (True, 3)
    assert decide(policy, "bob", "pull", "open") == (True, 4)
    assert decide(policy, "bob", "push", "open") == (False, 4)


def test_what_no_rule_is_about_is_denied() -> None:
    assert decide(rules(), "alice", "pull", "app") == (False, None)
    assert decide(rules(rule("other", "alice", ["pull", "push", "delete"])), "alice", "pull", "app") == (False, None)


@pytest.mark.parametrize(
    ("policy", "opens"),
    [
        (rules(), False),
        (rules(rule("**", "authenticated")), False),
        (rules(rule("**", "anonymous", [])), False),
        (rules(rule("**", "anonymous")), True),
        (rules(rule("a", "alice"), rule("b", ["alice", "everyone"], "push")), True),
    ],
)
def test_anonymous_callers_are_let_in_where_there_is_anything_that_they_may_do(policy: Policy, opens: bool) -> None:
    assert policy.lets_anonymous_in == opens


_WRONG: dict[str, tuple[object, str]] = {
    "no rule": ("pull", "[0]: "),
    "an unknown key": ({**rule("a"), "users": "bob"}, "[0]: "),
    "no repositories": ({"who": "alice", "actions": "pull"}, "[0]: "),
    "no callers": ({"repositories": "a", "actions": "pull"}, "[0]: "),
    "no actions": ({"repositories": "a", "who": "alice"}, "[0]: "),
    "an empty list of repositories": (rule([]), "[0].repositories: "),
    "an empty list of callers": (rule("a", []), "[0].who: "),
    "a number for a caller": (rule("a", [1]), "[0].who[0]: "),
    "an unknown action": (rule("a", "alice", ["pull", "pul"]), "[0].actions: 'pul'"),
    "an action of ours alone": (rule("a", "alice", "catalog"), "[0].actions: "),
    "an unknown group": (rule("a", "group:x"), "[0].who: 'group:x'"),
    "a kind that there is not": (rule("a", "user:x"), "[0].who: 'user:x'"),
    "a nameless caller": (rule("a", ""), "[0].who: "),
    "an empty pattern": (rule(""), "[0].repositories: ''"),
    "capitals in a pattern": (rule("Team/**"), "[0].repositories: 'Team/**'"),
    "a slash at the end": (rule("team/"), "[0].repositories: "),
    "two slashes": (rule("a//b"), "[0].repositories: "),
    "stars within a component": (rule("a**"), "[0].repositories: "),
    "three stars": (rule("***"), "[0].repositories: "),
    "a tag": (rule("a:latest"), "[0].repositories: "),
    "a class of characters": (rule("[ab]"), "[0].repositories: "),
}


@pytest.mark.parametrize(("item", "message"), _WRONG.values(), ids=_WRONG)
def test_a_wrong_rule_is_refused_with_its_place(item: object, message: str) -> None:
    with pytest.raises(PolicyInvalid) as raised:
        Policy.parse([item], {})
    assert str(raised.value).startswith(message)
    with pytest.raises(PolicyInvalid, match=r"^\[1\]"):
        Policy.parse([rule("a"), item], {})


@pytest.mark.parametrize(
    "content",
    [
        b"[{repositories: a, who: group:g, actions: pull}]".replace(b"group:g", b"alice"),
        b"access: [{repositories: a, who: alice, actions: [pull]}]",
        b"groups: {g: [alice]}\naccess:\n- repositories: [a]\n  who: [group:g]\n  actions: [pull]\n",
    ],
)
def test_a_file_is_a_list_of_rules_or_a_map_with_groups(content: bytes) -> None:
    policy = Policy.parse_file(content)
    assert decide(policy, "alice", "pull", "a") == (True, 0)
    assert decide(policy, "bob", "pull", "a") == (False, None)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"# nothing\n", b"a: [", b"text", b"{rules: []}", b"access:\n", b"groups: {}", b"\xff\xfe\x00"),
        *(b"2001-99-99", b"{access: [], groups: {g: alice}}", b"[" * 5_000),
    ],
)
def test_a_file_of_another_shape_is_refused(content: bytes) -> None:
    with pytest.raises(PolicyInvalid):
        Policy.parse_file(content)


@pytest.mark.parametrize(
    "content",
    [
        b"access: [{repositories: a, who: alice, actions: pull}]\naccess: []",
        b"- {repositories: a, who: alice,\n   who: everyone, actions: pull}",
        b"access: []\ngroups: {g: [alice],\n  g: [bob]}",
    ],
)
def test_a_key_that_is_given_twice_is_refused_with_both_lines(content: bytes) -> None:
    with pytest.raises(PolicyInvalid, match=r"^the key '(access|who|g)' is given twice, in lines [12] and [23]$"):
        Policy.parse_file(content)


@pytest.mark.parametrize("value", ["", "''", "~"])
def test_an_access_without_a_value_is_refused_since_it_would_allow_everything(value: str) -> None:
    text = f"version: 0.1\nstorage: inmemory\npyregistry:\n  access: {value}\n"
    with pytest.raises(ConfigError, match=r"^pyregistry\.access: no value"):
        parse(text, {})
    with pytest.raises(ConfigError, match=r"^pyregistry\.access: no value"):
        parse("version: 0.1\nstorage: inmemory\n", {"REGISTRY_PYREGISTRY_ACCESS": value})


def test_rules_can_be_given_by_the_environment(tmp_path: Path) -> None:
    text = "version: 0.1\nstorage: inmemory\nauth: {htpasswd: {realm: r, path: users}}\nhttp: {host: https://example.org}\n"
    config, warnings = parse(text, {"REGISTRY_PYREGISTRY_ACCESS": "[{repositories: a, who: b, actions: pull}]"})
    assert config.pyregistry.access == [{"repositories": "a", "who": "b", "actions": "pull"}]
    assert warnings == []
    config, _ = parse(text, {"REGISTRY_PYREGISTRY_ACCESS": "/etc/access.yml"})
    assert config.pyregistry.access == "/etc/access.yml"
