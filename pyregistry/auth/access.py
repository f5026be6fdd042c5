"""The words of access control, and the two seams: who is it, may they."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pyregistry.oci.names import RepositoryName


class Action(StrEnum):
    """What an endpoint does, as its row in the route table says."""

    BASE = "base"
    """Ask whether this is a registry: for everybody who is known."""
    CATALOG = "catalog"
    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    METRICS = "metrics"
    """Read figures of the whole service, which name no repository and no user."""
    PROBE = "probe"
    """Ask whether the service lives: for everybody, and nobody is asked who they are."""


@dataclass(frozen=True, slots=True)
class Access:
    """One thing that a caller wants to do; without a repository for BASE and CATALOG."""

    action: Action
    repository: RepositoryName | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks; `name` is None for an anonymous caller."""

    name: str | None = None


class Authenticator(Protocol):
    """Who: from the request's Authorization headers, and the client's address, to a principal."""

    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        """Raises Unauthorized, with its challenge in the headers, and TooManyRequests."""


class Authorizer(Protocol):
    """May they: decided before any storage call, once per request."""

    def allows(self, principal: Principal, access: Access) -> bool:
        """True if this principal may do this."""


class Open:
    """No `auth` section: everybody is anonymous."""

    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        """Whatever the client sent is ignored, as the CNCF registry does."""
        return Principal()


class AllowAll:
    """Without a policy, whoever passed the authenticator may do everything."""

    def allows(self, principal: Principal, access: Access) -> bool:
        """See Authorizer.allows."""
        return True
