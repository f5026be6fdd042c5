"""What a handler gets from its request and its application."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from aiohttp import web

from pyregistry.api.http.forwarded import TrustedProxies, remote_of
from pyregistry.auth.access import Access, Action, Authenticator, Authorizer, Principal, is_allowed
from pyregistry.auth.throttle import network_of
from pyregistry.common import defaults
from pyregistry.observe.health import Health, Readiness
from pyregistry.observe.metrics import Metrics
from pyregistry.oci.errors import Unavailable
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.repositories.cache import HotBlobs, HotManifests
from pyregistry.storage.repositories.registry import Registry, View
from pyregistry.storage.repositories.repository import Repository
from pyregistry.threads.offload import in_reader, in_thread
from pyregistry.threads.offload import walk as in_turn
from pyregistry.threads.patience import LOCK_SECONDS, RETRY
from pyregistry.threads.turns import Walk

if TYPE_CHECKING:  # what signs and verifies takes a while to import, and few registries make tokens
    from pyregistry.auth.tokens import TokenService

P = ParamSpec("P")
T = TypeVar("T")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of the config that handlers need."""

    delete_enabled: bool = False
    read_only: bool = False
    prefix: str = ""
    """Served below this path, without a slash at its end."""
    origin: str = ""
    """`http.host`: scheme and host for `Location` and realms; empty: those that the client used."""
    relative_urls: bool = False
    """`Location` is a path, unless `origin` is set."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with every answer."""
    max_manifest_size: int = defaults.MANIFEST_BYTES
    max_blob_size: int = defaults.BLOB_BYTES
    max_catalog_entries: int = defaults.PAGE_ENTRIES
    max_tags: int = defaults.PAGE_ENTRIES
    """Largest page of tags; a request without `n` gets them all."""
    min_body_rate: int = defaults.BODY_BYTES_PER_SECOND
    """Bytes per second below which a request body is given up, averaged over `body_window` seconds."""
    body_window: float = 60.0
    proxies: TrustedProxies | None = None
    """Proxies whose word is taken for a client's address; None where the config names none, not even an empty list."""
    default_platform: str = ""
    """Operating system and architecture of the image that stands for a list, see accepting; empty: none does."""
    warnings: tuple[str, ...] = field(default=())
    """Sentences for the user, as `Warning` headers of every answer."""


SETTINGS = web.AppKey("settings", Settings)
REGISTRY = web.AppKey("registry", Registry)
HOT_MANIFESTS = web.AppKey("hot_manifests", HotManifests)
HOT_BLOBS = web.AppKey("hot_blobs", HotBlobs)
AUTHENTICATOR: web.AppKey[Authenticator] = web.AppKey("authenticator")
AUTHORIZER: web.AppKey[Authorizer] = web.AppKey("authorizer")
HEALTH = web.AppKey("health", Health)
READINESS = web.AppKey("readiness", Readiness)
METRICS = web.AppKey("metrics", Metrics)
"""Missing where nothing is counted, or not shown at `http.addr`."""
REFUSED_TOKENS: web.AppKey["Counter[str]"] = web.AppKey("refused_tokens")
"""Tokens that did not count, by their kind, since the worker began."""
TOKENS: "web.AppKey[TokenService | None]" = web.AppKey("tokens")
"""None where no tokens are made here."""
LARGE_DOCUMENTS = web.AppKey("large_documents", asyncio.Semaphore)
"""The number of manifests above LARGE_DOCUMENT that a worker understands and stores at the same time."""
PRINCIPAL = web.RequestKey("principal", Principal)

LARGE_DOCUMENT = 256 * 1024
"""Bytes of a manifest that may take a hundred times as much memory, and tens of milliseconds, to be understood."""

offload = in_thread
"""Call blocking storage code that may write or wait: `await offload(repository.delete_tag, tag)`."""
offload_read = in_reader
"""Call blocking storage code that only reads: `await offload_read(repository.manifest, tag)`."""


async def walk(request: web.Request, steps: Walk[T], *, purpose: str = "list") -> T:
    """Walk over much of the storage, in turn with other callers: the same user, or without one the same address.

    What one caller asks for with another `purpose` has turns of its own, and does not wait behind these walks.
    """
    known = request.get(PRINCIPAL)
    name = None if known is None else known.name
    caller = f"user {name}" if name is not None else f"address {network_of(remote_of(request))}"
    return await in_turn(f"{purpose} {caller}", steps)


def settings(request: web.Request) -> Settings:
    """The application's settings."""
    return request.app[SETTINGS]


def proxies_of(app: web.Application) -> TrustedProxies | None:
    """Return the proxies that an application trusts; None for one without settings, too."""
    return app[SETTINGS].proxies if SETTINGS in app else None


def registry(request: web.Request) -> Registry:
    """The application's registry."""
    return request.app[REGISTRY]


def repository_name(request: web.Request) -> RepositoryName:
    """The `<name>` in the path; raises NameInvalid."""
    return RepositoryName(request.match_info["name"])


def repository(request: web.Request) -> Repository:
    """The repository that the path names; raises NameInvalid."""
    return registry(request).repository(repository_name(request))


def authorization(request: web.Request) -> Sequence[str]:
    """Return the Authorization headers."""
    return distinct(request.headers.getall("Authorization", ()))


def distinct(authorization: Sequence[str]) -> Sequence[str]:
    """Return Authorization headers; one that came twice is one, as some proxies repeat what a client sends.

    Different ones stay: another reader on the way may have taken the first for the user, and we the second.
    """
    return authorization if len(authorization) < 2 else list(dict.fromkeys(authorization))


def principal(request: web.Request) -> Principal:
    """Who asks."""
    return request[PRINCIPAL]


@asynccontextmanager
async def turn(request: web.Request, document: bytes) -> AsyncIterator[None]:
    """Wait until this document may be understood: large ones of all clients take turns.

    Raises Unavailable where those before it wait for a lock that a stopped process holds.
    """
    if len(document) <= LARGE_DOCUMENT:
        yield
        return
    turns = request.app[LARGE_DOCUMENTS]
    try:
        async with asyncio.timeout(LOCK_SECONDS):
            await turns.acquire()
    except TimeoutError as error:
        raise Unavailable("too many large manifests wait", headers=RETRY) from error
    try:
        yield
    finally:
        turns.release()


def may(request: web.Request, action: Action, name: RepositoryName) -> bool:
    """Return True if the caller may also do this: a mount needs to read its source."""
    return is_allowed(request.app[AUTHORIZER], principal(request), Access(action, name))


def view(request: web.Request, *, covered: bool = False) -> View:
    """Return what the caller may pull.

    With `covered` also the caller's token must be for it: that of the catalog is for the catalog alone.
    """
    return CallersView(request.app[AUTHORIZER], principal(request), covered)


@dataclass(frozen=True, slots=True)
class CallersView:
    """See View: what one caller may pull by the rules, and with `covered` by the token as well."""

    authorizer: Authorizer
    principal: Principal
    covered: bool

    @property
    def shows_all(self) -> bool:
        """See View."""
        return self.authorizer.pulls_all(self.principal)

    def shows(self, name: RepositoryName) -> bool:
        """See View."""
        access = Access(Action.PULL, name)
        if self.covered:
            return is_allowed(self.authorizer, self.principal, access)
        return self.authorizer.allows(self.principal, access)

    def reaches(self, namespace: str) -> bool:
        """See View."""
        return self.authorizer.pulls_below(self.principal, namespace)


def parameter(request: web.Request, name: str) -> str | None:
    """Return the value of a query parameter, None if absent; of several the first counts, as in the CNCF registry."""
    return request.query.get(name)
