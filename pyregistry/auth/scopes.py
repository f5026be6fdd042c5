"""Scopes in their three forms: parameters of a URL, parameter of a challenge, claim of a token.

The grammar is Docker's (distribution, "Token Scope Documentation"): `repository:<name>:<action>,<action>`, and
`registry:catalog:*` for the catalog.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import msgspec

from pyregistry.auth.access import Access, Action, Fault, Scope, quoted
from pyregistry.common.overriding import override
from pyregistry.oci.errors import NameInvalid
from pyregistry.oci.names import RepositoryName

TOKEN_PATH = "/auth/token"  # noqa: S105 - a path, no secret
"""Path of our own token endpoint."""
REPOSITORY_ACTIONS = (Action.PULL, Action.PUSH, Action.DELETE)
_ALL = "*"
_CATALOG = "registry", "catalog"
_IMPLIED = {Action.PUSH: (Action.PULL, Action.PUSH)}
"""A push first checks for existing content: the CNCF registry asks for both, and clients rely on it."""


class Grant(msgspec.Struct, frozen=True):
    """An item of the claim `access`."""

    type: str
    name: str
    actions: list[str]


class _Claimed(msgspec.Struct, frozen=True):
    """An item of the claim in a token of another server. A missing or null member grants nothing, as in Go's reader."""

    type: str | None = None
    name: str | None = None
    actions: list[str] | None = None


@dataclass(frozen=True, slots=True)
class TokenScope(Scope):
    """The purpose of a token: actions by repository, with None for actions without a repository."""

    actions: Mapping[str | None, frozenset[Action]]

    @override
    def covers(self, access: Access) -> bool:
        # Every token may ask for the base, and no scope can name metrics.
        always = access.action in {Action.BASE, Action.TOKEN, Action.METRICS}
        return always or access.action in self.actions.get(access.repository, ())


class AnonymousScope(Scope):
    """The scope of a caller without credentials where tokens are available.

    The base and the catalog need a token. From the base a client learns that there are tokens, and docker asks only
    once. The catalog would show a logged-in user only what anonymous callers see.
    """

    @override
    def covers(self, access: Access) -> bool:
        return access.repository is not None


def with_implied(accesses: Iterable[Access]) -> list[Access]:
    """Return the accesses with implied ones added: pull with push."""
    return [
        Access(action, access.repository)
        for access in accesses
        for action in _IMPLIED.get(access.action, (access.action,))
    ]


def parse_scopes(texts: Iterable[str]) -> list[Access]:
    """Return the accesses that a client requests; skip malformed scopes and unknown kinds."""
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
    """Return the claim for these accesses; those of one repository must be adjacent."""
    found = []
    for repository, group in groupby(accesses, lambda access: access.repository):
        actions = [access.action for access in group]
        if repository is not None:
            found.append(Grant("repository", repository, [action.value for action in actions]))
        elif Action.CATALOG in actions:
            found.append(Grant(*_CATALOG, [_ALL]))
    return found


def scope_of_claim(claim: object) -> TokenScope:
    """Return the scope of the claim `access`; raise ValueError if it is malformed."""
    found: dict[str | None, frozenset[Action]] = {}
    shared: dict[frozenset[Action], frozenset[Action]] = {}
    for item in msgspec.convert(claim, type=list[_Claimed] | None) or []:
        for access in _accesses(item.type, item.name or "", item.actions or ()):
            actions = found.get(access.repository, frozenset()) | {access.action}
            found[access.repository] = shared.setdefault(actions, actions)  # a token may have thousands of repositories
    return TokenScope(found)


def format_scopes(accesses: Iterable[Access]) -> str:
    """Return scopes for a challenge."""
    return " ".join(f"{item.type}:{item.name}:{','.join(item.actions)}" for item in grants(accesses))


def bearer_challenge(realm: str, service: str, accesses: Sequence[Access], fault: Fault | None) -> str:
    """Return `WWW-Authenticate` of a registry that accepts tokens (RFC 6750, 3)."""
    parameters = {"realm": realm, "service": service, "scope": format_scopes(accesses), "error": fault or ""}
    return "Bearer " + ",".join(f"{name}={quoted(value)}" for name, value in parameters.items() if value)


def bearer_token(authorization: Sequence[str]) -> str | None:
    """Return the token of a request with exactly one Authorization header, if that is Bearer."""
    if len(authorization) != 1:
        return None
    scheme, _, token = authorization[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
