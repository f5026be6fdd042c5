"""The terms of access control, and its two seams: authentication and authorization."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from pyregistry.common.overriding import override
from pyregistry.oci.names import RepositoryName


class Action(StrEnum):
    """An action of an endpoint, from its row in the route table."""

    BASE = "base"
    """Ask whether this is a registry: for every authenticated caller."""
    TOKEN = "token"  # noqa: S105 - a word, not a secret
    """Request a token: the one endpoint that authenticates the caller itself."""
    CATALOG = "catalog"
    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    METRICS = "metrics"
    """Read metrics of the whole service, which contain no names of repositories or users."""
    PROBE = "probe"
    """Ask whether the service is alive: for all callers, without authentication."""


class Access(NamedTuple):
    """An action on a repository; without a repository for BASE and CATALOG."""

    action: Action
    repository: RepositoryName | None = None


class Scope(Protocol):
    """The purpose of a token: it limits what its user may do with it."""

    __slots__ = ()

    def covers(self, access: Access) -> bool:
        """Return True if the token is good for this."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller; an anonymous one has no `name`, one with a password has no `scope`."""

    name: str | None = None
    scope: Scope | None = None

    def covers(self, access: Access) -> bool:
        """Return True unless the caller's token was made for something else."""
        return self.scope is None or self.scope.covers(access)


ANONYMOUS = Principal()


@dataclass(frozen=True, slots=True)
class Origin:
    """The registry's URL as a client sees it; `scheme` is empty if the config, a proxy and TLS do not tell it."""

    scheme: str
    host: str
    prefix: str = ""

    def __str__(self) -> str:
        """Return the URL prefix of all endpoints."""
        return f"{self.scheme or 'http'}://{self.host}{self.prefix}"


class Fault(StrEnum):
    """Reason why a token was rejected: `error` of a challenge (RFC 6750, 3.1)."""

    INVALID_TOKEN = "invalid_token"  # noqa: S105 - a word, not a secret
    INSUFFICIENT_SCOPE = "insufficient_scope"


class LifeCycle(Protocol):
    """A part that watches files or has threads. It is made before the workers are forked, and started in each."""

    __slots__ = ()

    def start(self) -> None:
        """Start the threads, and load what changed since it was made. Blocks."""

    def close(self) -> None:
        """Stop the threads. Does not block."""


class Passwords(Protocol):
    """Users with passwords."""

    __slots__ = ()

    async def verify(self, user: str, password: bytes, address: str) -> Principal:
        """Return the user of that name and password; raise Unauthorized, TooManyRequests.

        `address` is the client's.
        """

    def stamp(self, user: str) -> str | None:
        """Return a string that changes with the user's password, None for an unknown user."""


class PasswordStore(Passwords, Protocol):
    """Passwords that an authenticator checks, with metrics."""

    realm: str
    """Name of the registry that a client shows when it asks for a password."""

    @property
    def refused(self) -> Mapping[str, int]:
        """Rejected logins of this process, by reason."""

    @property
    def waiting(self) -> int:
        """Passwords that wait to be checked."""


class Authenticator(LifeCycle, Protocol):
    """Identifies the caller by the Authorization headers of a request and the address of its client.

    BaseAuthenticator has defaults for some of it.
    """

    __slots__ = ()

    @property
    def passwords(self) -> PasswordStore | None:
        """Return the users with passwords, for whom this registry can make tokens, or None."""

    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        """Return the caller; raise Unauthorized, TooManyRequests."""

    def recognize(self, authorization: Sequence[str], address: str) -> Principal | None:
        """Return the same caller if that is known without waiting; None: call `authenticate`, which also rejects."""

    def challenge(self, wanted: Sequence[Access], origin: Origin, fault: Fault | None) -> str | None:
        """Return `WWW-Authenticate` of a 401, with which a client can get the access; None if it cannot."""


class Authorizer(Protocol):
    """Decides on access, once per request and before any storage call."""

    __slots__ = ()

    def allows(self, principal: Principal, access: Access) -> bool:
        """Return True if the rules give this principal the access; it ignores tokens."""

    def pulls_below(self, principal: Principal, namespace: str) -> bool:
        """Return False if this principal may pull nothing below this namespace; the empty one has all names.

        True if that is not known: then each name is checked.
        """

    def pulls_all(self, principal: Principal) -> bool:
        """Return True if this principal may pull every repository, also future ones; False if not known."""


def is_allowed(authorizer: Authorizer, principal: Principal, access: Access) -> bool:
    """Return True if both the rules and the caller's token allow the access."""
    return principal.covers(access) and authorizer.allows(principal, access)


class BaseAuthenticator(Authenticator):
    """An authenticator without files, threads, passwords and challenge; subclasses override the rest."""

    @override
    def start(self) -> None:
        pass

    @override
    def close(self) -> None:
        pass

    @property
    @override
    def passwords(self) -> PasswordStore | None:
        return None

    @override
    def recognize(self, authorization: Sequence[str], address: str) -> Principal | None:
        return None

    @override
    def challenge(self, wanted: Sequence[Access], origin: Origin, fault: Fault | None) -> str | None:
        return None


class NoAuthentication(BaseAuthenticator):
    """No `auth` section: all callers are anonymous, whatever they send, as in the CNCF registry."""

    @override
    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        return ANONYMOUS

    @override
    def recognize(self, authorization: Sequence[str], address: str) -> Principal | None:
        return ANONYMOUS


class AllowAll(Authorizer):
    """No policy: every authenticated caller may do everything."""

    @override
    def allows(self, principal: Principal, access: Access) -> bool:
        return True

    @override
    def pulls_below(self, principal: Principal, namespace: str) -> bool:
        return True

    @override
    def pulls_all(self, principal: Principal) -> bool:
        return True


def quoted(text: str) -> str:
    """Return a quoted-string of a header (RFC 9110, 5.6.4), in one line: YAML's `|` ends with a newline."""
    return '"{}"'.format(" ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"'))
