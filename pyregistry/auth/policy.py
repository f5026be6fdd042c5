"""Access rules for repositories and callers; the first that matches decides."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import msgspec

from pyregistry.auth.access import Access, Action, Authorizer, Principal
from pyregistry.auth.scopes import REPOSITORY_ACTIONS
from pyregistry.common.documents import DocumentInvalid, read_yaml
from pyregistry.common.overriding import override

ANONYMOUS, AUTHENTICATED, EVERYONE = "anonymous", "authenticated", "everyone"
_GROUP = "group:"
_PATTERN = re.compile(r"[a-z0-9._\-*?]+(/[a-z0-9._\-*?]+)*", re.ASCII)


class PolicyInvalid(Exception):
    """The rules are invalid; the text begins with the position of the fault, such as `[2].actions: `."""


class _Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    repositories: str | list[str]
    who: str | list[str]
    actions: str | list[str]


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    access: list[object]
    groups: dict[str, list[str]] = {}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `number` is its index in the list, from 0."""

    number: int
    repositories: tuple[str, ...]
    who: tuple[str, ...]
    actions: frozenset[Action]
    _matches: re.Pattern[str]
    _leads_to: re.Pattern[str]
    _covers: re.Pattern[str]
    _users: frozenset[str]

    def concerns(self, principal: Principal, repository: str) -> bool:
        """Return True if this rule decides, unless an earlier one does."""
        return self.is_for(principal) and self._matches.fullmatch(repository) is not None

    def is_for(self, principal: Principal) -> bool:
        """Return True if the rule names this caller."""
        kind = ANONYMOUS if principal.name is None else AUTHENTICATED
        return kind in self.who or EVERYONE in self.who or principal.name in self._users

    def leads_to(self, namespace: str) -> bool:
        """Return True if the rule matches at least one possible name below this namespace."""
        return self._leads_to.fullmatch(namespace) is not None

    def covers(self, namespace: str) -> bool:
        """Return True if one pattern of the rule matches every name below this namespace."""
        return self._covers.fullmatch(namespace) is not None

    def __str__(self) -> str:
        """Return the rule in the words of the file."""
        actions = ", ".join(action for action in REPOSITORY_ACTIONS if action in self.actions) or "nothing"
        return f"[{self.number}] {', '.join(self.who)} on {', '.join(self.repositories)}: {actions}"


@dataclass(frozen=True, slots=True)
class Policy(Authorizer):
    """All rules, in their order."""

    rules: tuple[Rule, ...]

    @classmethod
    def parse(cls, items: Sequence[object], groups: Mapping[str, Sequence[str]]) -> Self:
        """Return the policy of the parsed items of a file; raise PolicyInvalid."""
        return cls(tuple(_rule(number, item, groups) for number, item in enumerate(items)))

    @classmethod
    def parse_file(cls, content: bytes) -> Self:
        """Return the policy of a file: a list of rules, or a map of `access` (that list) and `groups`.

        Raises PolicyInvalid.
        """
        try:
            document = read_yaml(content)
        except DocumentInvalid as error:
            raise PolicyInvalid(str(error)) from error
        if isinstance(document, list):
            document = {"access": document}
        try:
            read = msgspec.convert(document, type=_Document)
        except (msgspec.ValidationError, RecursionError) as error:
            raise PolicyInvalid(f"not a list of rules, or a map of access and groups: {error}") from error
        return cls.parse(read.access, read.groups)

    def decide(self, principal: Principal, access: Access) -> tuple[bool, Rule | None]:
        """Return True if a caller has this access to a repository, and the rule that decided; False without one."""
        assert access.repository is not None
        for rule in self.rules:
            if rule.concerns(principal, access.repository):
                return access.action in rule.actions, rule
        return False, None

    @override
    def allows(self, principal: Principal, access: Access) -> bool:
        if access.action is Action.METRICS:  # for all users
            return principal.name is not None
        # BASE and CATALOG, which lists only what may be pulled, are for all callers.
        return access.repository is None or self.decide(principal, access)[0]

    @override
    def pulls_below(self, principal: Principal, namespace: str) -> bool:
        for rule in self.rules:
            if not rule.is_for(principal):
                continue
            if Action.PULL in rule.actions and rule.leads_to(namespace):
                return True
            if rule.covers(namespace):  # no later rule decides anything here
                return False
        return False

    @override
    def pulls_all(self, principal: Principal) -> bool:
        for rule in self.rules:
            if rule.is_for(principal):
                if Action.PULL not in rule.actions:
                    return False
                if rule.covers(""):
                    return True
        return False

    @property
    def lets_anonymous_in(self) -> bool:
        """Return True if a rule allows anything to anonymous callers."""
        return any(rule.actions and {ANONYMOUS, EVERYONE}.intersection(rule.who) for rule in self.rules)


def _rule(number: int, value: object, groups: Mapping[str, Sequence[str]]) -> Rule:
    try:
        item = msgspec.convert(value, type=_Item)
    except msgspec.ValidationError as error:
        reason, _, at = str(error).partition(" - at ")
        raise PolicyInvalid(f"[{number}]{at.strip('`').removeprefix('$')}: {reason}") from error
    repositories, who, actions = _words(item.repositories), _words(item.who), _words(item.actions)
    for key, words in (("repositories", repositories), ("who", who)):
        if not words:
            raise PolicyInvalid(f"[{number}].{key}: empty")
    for action in actions:
        if action not in REPOSITORY_ACTIONS:
            raise PolicyInvalid(f"[{number}].actions: {action!r}, expected some of {', '.join(REPOSITORY_ACTIONS)}")
    try:
        matches = re.compile("|".join(map(_expression, repositories)))
    except ValueError as error:
        raise PolicyInvalid(f"[{number}].repositories: {error}") from error
    leads_to, covers = (re.compile("|".join(map(way, repositories))) for way in (_leading, _covering))
    users = _users(number, who, groups)
    return Rule(number, repositories, who, frozenset(map(Action, actions)), matches, leads_to, covers, users)


def _words(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _users(number: int, who: Sequence[str], groups: Mapping[str, Sequence[str]]) -> frozenset[str]:
    users: set[str] = set()
    for word in who:
        if not word.startswith(_GROUP):
            if not word or ":" in word:  # a user's name has no colon, which ends it in Basic
                raise PolicyInvalid(f"[{number}].who: {word!r} is neither a user nor group:NAME")
            users.add(word)
        elif word.removeprefix(_GROUP) not in groups:
            raise PolicyInvalid(f"[{number}].who: {word!r}, there is no such group")
        else:
            users.update(groups[word.removeprefix(_GROUP)])
    return frozenset(users - {ANONYMOUS, AUTHENTICATED, EVERYONE})


def _expression(pattern: str) -> str:
    """Return the regular expression of a pattern like git's; raise ValueError.

    `*` and `?` match within a component of the name; `**` matches any number of components, at the end at least one.
    """
    parts = pattern.split("/")
    if _PATTERN.fullmatch(pattern) is None or any("**" in part and part != "**" for part in parts):
        raise ValueError(f"{pattern!r} is not a pattern of repositories such as team/** or */app")
    fixed: list[list[str]] = [[]]
    for part in parts:
        if part == "**":
            fixed.append([])
        else:
            fixed[-1].append(_component(part))
    if len(fixed) == 1:
        return "/".join(fixed[0])
    first, *middle, last = fixed
    # The leftmost match is as good as any, so `(?>` never backtracks: else each star would multiply the time.
    between = ["(?>(?:[^/]+/)*?" + "".join(f"{each}/" for each in group) + ")" for group in middle if group]
    end = "(?:[^/]+/)*" + "/".join(last) if last else ".+"
    return "".join(f"{each}/" for each in first) + "".join(between) + end


def _component(pattern: str) -> str:
    """Return the regular expression of a pattern without a slash."""
    first, *rest = ("".join("[^/]" if each == "?" else re.escape(each) for each in part) for part in pattern.split("*"))
    return first + "".join(f"(?>[^/]*?{part})" for part in rest[:-1]) + "".join(f"[^/]*{part}" for part in rest[-1:])


def _leading(pattern: str) -> str:
    """Return the regular expression of namespaces below which the pattern can match a name.

    For `a/*/c` they are ``, `a` and `a/x`; for `a/**/c` also all below `a`.
    """
    parts = pattern.split("/")
    fixed = parts[: parts.index("**")] if "**" in parts else parts[:-1]
    expression = "(?:/.*)?" if "**" in parts else ""
    for part in reversed(fixed[1:]):
        expression = f"(?:/{_component(part)}{expression})?"
    if not fixed:
        return ".*" if "**" in parts else ""
    return f"(?:{_component(fixed[0])}{expression})?"


def _covering(pattern: str) -> str:
    """Return the regular expression of namespaces below which the pattern matches every name."""
    parts = pattern.split("/")
    if parts[-1] != "**":
        return "(?!)"  # matches nothing
    while parts and parts[-1] == "**":
        parts.pop()
    # Not the empty namespace of all names, which `*` of `*/**` would match.
    return f"(?!$){_expression('/'.join(parts))}(?:/.*)?" if parts else ".*"
