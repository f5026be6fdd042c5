"""Scopes, in the three forms that they have: words of a URL, a challenge's parameter, a claim of a token.

The grammar is Docker's (distribution, "Token Scope Documentation"): `repository:<name>:<action>,<action>`, and
`registry:catalog:*` for the catalog.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import msgspec

from pyregistry.auth.access import Access, Action, Fault, quoted
from pyregistry.oci.errors import NameInvalid
from pyregistry.oci.names import RepositoryName

TOKEN_PATH = "/auth/token"  # noqa: S105 - a path, no secret
"""Where the registry makes tokens itself."""
REPOSITORY_ACTIONS = (Action.PULL, Action.PUSH, Action.DELETE)
_ALL = "*"
_CATALOG = "registry", "catalog"
_IMPLIED = {Action.PUSH: (Action.PULL, Action.PUSH)}
"""Whoever pushes looks first what is there: the CNCF registry asks for both, and clients rely on the hint."""


class Grant(msgspec.Struct, frozen=True):
    """An item of the claim `access`."""

    type: str
    name: str
    actions: list[str]


class _Claimed(msgspec.Struct, frozen=True):
    """The same of a stranger's token. What is missing or null gives nothing, as in Go's reader."""

    type: str | None = None
    name: str | None = None
    actions: list[str] | None = None


@dataclass(frozen=True, slots=True)
class TokenScope:
    """The use that a token was made for: actions by repository, None being that of what is about none."""

    actions: Mapping[str | None, frozenset[Action]]

    def covers(self, access: Access) -> bool:
        """See Scope.covers; every token will do to ask whether this is a registry, and no scope names its figures."""
        always = access.action in {Action.BASE, Action.TOKEN, Action.METRICS}
        return always or access.action in self.actions.get(access.repository, ())


class WithoutToken:
    """The scope of a caller who shows nothing where tokens are to be had.

    The base and the catalog send for a token first: from the first a client learns that there are any (docker never
    asks again), and the second would show a user who is logged in what anonymous callers see.
    """

    def covers(self, access: Access) -> bool:
        """See Scope.covers."""
        return access.repository is not None


def with_implied(accesses: Iterable[Access]) -> list[Access]:
    """With what goes along with it: pulling with pushing."""
    return [
        Access(action, access.repository)
        for access in accesses
        for action in _IMPLIED.get(access.action, (access.action,))
    ]


def parse_scopes(texts: Iterable[str]) -> list[Access]:
    """What a client asks for; what is malformed, or of a kind that is not known, is left out."""
    found: dict[Access, None] = {}
    for word in " ".join(texts).split(" "):
        kind, _, rest = word.partition(":")
        name, _, actions = rest.rpartition(":")
        # A plugin's type is `repository(plugin)`.
        found |= dict.fromkeys(_accesses(kind.partition("(")[0], name, actions.split(",")))
    return list(found)


def _accesses(kind: str | None, name: str, actions: Iterable[str]) -> list[Access]:
    if (kind, name) == _CATALOG and _ALL in actions:
        return [Access(Action.CATALOG)]
    if kind != "repository":
        return []
    try:
        repository = RepositoryName(name)
    except NameInvalid:
        return []
    chosen = set(actions)
    return [Access(action, repository) for action in REPOSITORY_ACTIONS if chosen & {action.value, _ALL}]


def grants(accesses: Iterable[Access]) -> list[Grant]:
    """The claim that stands for these; the actions on one repository must stand together."""
    found = []
    for repository, group in groupby(accesses, lambda access: access.repository):
        actions = [access.action for access in group]
        if repository is not None:
            found.append(Grant("repository", repository, [action.value for action in actions]))
        elif Action.CATALOG in actions:
            found.append(Grant(*_CATALOG, [_ALL]))
    return found


def scope_of_claim(claim: object) -> TokenScope:
    """What the claim `access` covers. Raises ValueError for one that is malformed."""
    found: dict[str | None, frozenset[Action]] = {}
    shared: dict[frozenset[Action], frozenset[Action]] = {}
    for item in msgspec.convert(claim, type=list[_Claimed] | None) or []:
        for access in _accesses(item.type, item.name or "", item.actions or ()):
            actions = found.get(access.repository, frozenset()) | {access.action}
            found[access.repository] = shared.setdefault(actions, actions)  # a token may be for thousands
    return TokenScope(found)


def format_scopes(accesses: Iterable[Access]) -> str:
    """In the words of a challenge."""
    return " ".join(f"{item.type}:{item.name}:{','.join(item.actions)}" for item in grants(accesses))


def bearer_challenge(realm: str, service: str, accesses: Sequence[Access], fault: Fault | None) -> str:
    """`WWW-Authenticate` of a registry that takes tokens (RFC 6750, 3)."""
    parameters = {"realm": realm, "service": service, "scope": format_scopes(accesses), "error": fault or ""}
    return "Bearer " + ",".join(f"{name}={quoted(value)}" for name, value in parameters.items() if value)


def bearer_token(authorization: Sequence[str]) -> str | None:
    """The token of a request that shows exactly one."""
    if len(authorization) != 1:
        return None
    scheme, _, token = authorization[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
