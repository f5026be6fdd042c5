"""The words of access control, and the two seams: who is it, may they."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from pyregistry.oci.names import RepositoryName


class Action(StrEnum):
    """What an endpoint does, as its row in the route table says."""

    BASE = "base"
    """Ask whether this is a registry: for everybody who is known."""
    TOKEN = "token"  # noqa: S105 - a word, no secret
    """Ask for a token: the one endpoint that finds out itself who is asking."""
    CATALOG = "catalog"
    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    METRICS = "metrics"
    """Read figures of the whole service, which name no repository and no user."""
    PROBE = "probe"
    """Ask whether the service lives: for everybody, and nobody is asked who they are."""


class Access(NamedTuple):
    """One thing that a caller wants to do; without a repository for BASE and CATALOG."""

    action: Action
    repository: RepositoryName | None = None


class Scope(Protocol):
    """What a caller showed it may be used for, whoever the caller is: a token is made for one purpose."""

    def covers(self, access: Access) -> bool:
        """True if this may be done with it."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks; `name` is None for an anonymous caller, `scope` for one who came with a password."""

    name: str | None = None
    scope: Scope | None = None

    def covers(self, access: Access) -> bool:
        """True unless the caller showed a token that was made for something else."""
        return self.scope is None or self.scope.covers(access)


ANONYMOUS = Principal()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a client sees this registry; `scheme` is empty where neither the config nor a proxy nor TLS says it."""

    scheme: str
    host: str
    prefix: str = ""

    def __str__(self) -> str:
        """The URL below which all endpoints are."""
        return f"{self.scheme or 'http'}://{self.host}{self.prefix}"


class Fault(StrEnum):
    """Why a token did not do: `error` of a challenge (RFC 6750, 3.1)."""

    INVALID_TOKEN = "invalid_token"  # noqa: S105 - a word, no secret
    INSUFFICIENT_SCOPE = "insufficient_scope"


class LifeCycle(Protocol):
    """A part that follows a file or has threads. It is made before the workers are forked, and starts in each."""

    def start(self) -> None:
        """Begin to follow what may have changed since it was made. Blocks."""

    def close(self) -> None:
        """End the threads. Does not block."""


class Passwords(Protocol):
    """Users with passwords."""

    async def verify(self, user: str, password: bytes, address: str) -> Principal:
        """Return the user of that name and password; raise Unauthorized, TooManyRequests.

        The caller is at `address`.
        """

    def stamp(self, user: str) -> str | None:
        """Return what changes with the password of a user, None for one who is not there."""


class PasswordStore(Passwords, Protocol):
    """Passwords that an authenticator checks, with its figures."""

    realm: str
    """Name of the registry that a client shows when it asks for a password."""

    @property
    def refused(self) -> Mapping[str, int]:
        """Logins of this process that were refused, by the reason."""

    @property
    def waiting(self) -> int:
        """Passwords that wait to be checked."""


class Authenticator(LifeCycle, Protocol):
    """Identifies the caller by the Authorization headers of a request and the address of its client.

    A kind that does without some of it inherits from BaseAuthenticator.
    """

    @property
    def passwords(self) -> PasswordStore | None:
        """Return the users with passwords, for whom tokens can be made here; None where there are none."""

    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        """Raises Unauthorized, and TooManyRequests."""

    def recognize(self, authorization: Sequence[str], address: str) -> Principal | None:
        """The same principal where that needs no waiting; None: ask `authenticate`, which knows what is wrong, too."""

    def challenge(self, wanted: Sequence[Access], origin: Origin, fault: Fault | None) -> str | None:
        """`WWW-Authenticate` of a 401: how to become somebody who may do what was wanted; None where nobody can."""


class Authorizer(Protocol):
    """May they: decided before any storage call, once per request."""

    def allows(self, principal: Principal, access: Access) -> bool:
        """True if this principal may do this, whatever token was shown."""

    def pulls_below(self, principal: Principal, namespace: str) -> bool:
        """False if this principal may pull nothing below this namespace, the empty one being that of all names.

        True where that is not known: each name is asked for all the same.
        """

    def pulls_all(self, principal: Principal) -> bool:
        """True if there is no repository, now or later, that this principal may not pull; False if not known."""


def is_allowed(authorizer: Authorizer, principal: Principal, access: Access) -> bool:
    """Return True if the rules allow this to the caller, and the token that the caller showed is for it."""
    return principal.covers(access) and authorizer.allows(principal, access)


class BaseAuthenticator:
    """An authenticator without files, threads and passwords, which asks for no credential; kinds override the rest."""

    def start(self) -> None:
        """See Authenticator.start."""

    def close(self) -> None:
        """See Authenticator.close."""

    @property
    def passwords(self) -> PasswordStore | None:
        """See Authenticator.passwords."""
        return None

    def recognize(self, authorization: Sequence[str], address: str) -> Principal | None:
        """See Authenticator.recognize."""
        return None

    def challenge(self, wanted: Sequence[Access], origin: Origin, fault: Fault | None) -> str | None:
        """See Authenticator.challenge."""
        return None


class Open(BaseAuthenticator):
    """No `auth` section: everybody is anonymous."""

    async def authenticate(self, authorization: Sequence[str], address: str) -> Principal:
        """Whatever the client sent is ignored, as the CNCF registry does."""
        return ANONYMOUS

    def recognize(self, authorization: Sequence[str], address: str) -> Principal | None:
        """See Authenticator.recognize."""
        return ANONYMOUS


class AllowAll:
    """Without a policy, whoever passed the authenticator may do everything."""

    def allows(self, principal: Principal, access: Access) -> bool:
        """See Authorizer.allows."""
        return True

    def pulls_below(self, principal: Principal, namespace: str) -> bool:
        """See Authorizer.pulls_below."""
        return True

    def pulls_all(self, principal: Principal) -> bool:
        """See Authorizer.pulls_all."""
        return True


def quoted(text: str) -> str:
    """A quoted-string of a header (RFC 9110, 5.6.4), in one line: YAML's `|` leaves a newline at the end."""
    return '"{}"'.format(" ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"'))
