"""Parts of the application, and values of the request, for handlers."""

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
from pyregistry.common.overriding import override
from pyregistry.observe.health import HealthChecks, Readiness
from pyregistry.observe.metrics import Metrics
from pyregistry.oci.errors import Unavailable
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.repositories.cache import BlobCache, ManifestCache
from pyregistry.storage.repositories.registry import Registry, View
from pyregistry.storage.repositories.repository import Repository
from pyregistry.threads.fair_scheduler import Walk
from pyregistry.threads.offload import in_reader, in_thread
from pyregistry.threads.offload import walk as in_turn
from pyregistry.threads.wait_budget import LOCK_SECONDS, RETRY

if TYPE_CHECKING:  # signing is slow to import, and few registries issue tokens
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
    """Path below which the API is served, without a final slash."""
    origin: str = ""
    """`http.host`: scheme and host for `Location` and realms; empty: those that the client used."""
    relative_urls: bool = False
    """`Location` is a path, unless `origin` is set."""
    headers: tuple[tuple[str, str], ...] = ()
    """Headers of every response."""
    max_manifest_size: int = defaults.MANIFEST_BYTES
    max_blob_size: int = defaults.BLOB_BYTES
    max_catalog_entries: int = defaults.PAGE_ENTRIES
    max_tags: int = defaults.PAGE_ENTRIES
    """Largest page of tags; a request without `n` gets them all."""
    min_body_rate: int = defaults.BODY_BYTES_PER_SECOND
    """Bytes per second below which a request body times out, averaged over `body_window` seconds."""
    body_window: float = 60.0
    proxies: TrustedProxies | None = None
    """Proxies that may name a client's address; None where the config has no such key, not even an empty list."""
    default_platform: str = ""
    """OS and architecture of the image sent instead of a list, see `accepting`; empty: always send the list."""
    warnings: tuple[str, ...] = field(default=())
    """Sentences for the user, as `Warning` headers of every response."""


SETTINGS = web.AppKey("settings", Settings)
REGISTRY = web.AppKey("registry", Registry)
MANIFEST_CACHE = web.AppKey("manifest_cache", ManifestCache)
BLOB_CACHE = web.AppKey("blob_cache", BlobCache)
AUTHENTICATOR: web.AppKey[Authenticator] = web.AppKey("authenticator")
AUTHORIZER: web.AppKey[Authorizer] = web.AppKey("authorizer")
HEALTH = web.AppKey("health", HealthChecks)
READINESS = web.AppKey("readiness", Readiness)
METRICS = web.AppKey("metrics", Metrics)
"""Absent without metrics, or where `http.addr` does not serve them."""
REFUSED_TOKENS: web.AppKey["Counter[str]"] = web.AppKey("refused_tokens")
"""Rejected tokens by kind, since the worker started."""
TOKENS: "web.AppKey[TokenService | None]" = web.AppKey("tokens")
"""None where this registry issues no tokens."""
LARGE_DOCUMENTS = web.AppKey("large_documents", asyncio.Semaphore)
"""Bounds the manifests above LARGE_DOCUMENT_BYTES that a worker parses and stores at the same time."""
PRINCIPAL = web.RequestKey("principal", Principal)

LARGE_DOCUMENT_BYTES = 256 * 1024
"""Bytes of a manifest above which parsing may take tens of milliseconds, and a hundred times the memory."""

offload = in_thread
"""Call blocking storage code that may write or wait: `await offload(repository.delete_tag, tag)`."""
offload_read = in_reader
"""Call blocking storage code that only reads: `await offload_read(repository.manifest, tag)`."""


async def walk(request: web.Request, steps: Walk[T], *, purpose: str = "list") -> T:
    """Walk over much of the storage, in turn with other callers. A caller is a user, or an address without a user.

    Walks of one caller with another `purpose` have turns of their own, and do not wait for these.
    """
    known = request.get(PRINCIPAL)
    name = None if known is None else known.name
    caller = f"user {name}" if name is not None else f"address {network_of(remote_of(request))}"
    return await in_turn(f"{purpose} {caller}", steps)


def settings(request: web.Request) -> Settings:
    """Return the application's settings."""
    return request.app[SETTINGS]


def proxies_of(app: web.Application) -> TrustedProxies | None:
    """Return the proxies that an application trusts; None also without settings."""
    return app[SETTINGS].proxies if SETTINGS in app else None


def registry(request: web.Request) -> Registry:
    """Return the application's registry."""
    return request.app[REGISTRY]


def repository_name(request: web.Request) -> RepositoryName:
    """Return the `<name>` in the path; raise NameInvalid."""
    return RepositoryName(request.match_info["name"])


def repository(request: web.Request) -> Repository:
    """Return the repository that the path names; raise NameInvalid."""
    return registry(request).repository(repository_name(request))


def authorization(request: web.Request) -> Sequence[str]:
    """Return the Authorization headers."""
    return distinct(request.headers.getall("Authorization", ()))


def distinct(authorization: Sequence[str]) -> Sequence[str]:
    """Return Authorization headers without repetitions, which some proxies add.

    Different ones stay: a proxy may have used the first, and we would use the second.
    """
    return authorization if len(authorization) < 2 else list(dict.fromkeys(authorization))


def principal(request: web.Request) -> Principal:
    """Return the caller."""
    return request[PRINCIPAL]


@asynccontextmanager
async def document_slot(request: web.Request, document: bytes) -> AsyncIterator[None]:
    """Wait until this document may be parsed: large ones of all clients take turns.

    Raises Unavailable if those before it wait for a lock that a stopped process holds.
    """
    if len(document) <= LARGE_DOCUMENT_BYTES:
        yield
        return
    slots = request.app[LARGE_DOCUMENTS]
    try:
        async with asyncio.timeout(LOCK_SECONDS):
            await slots.acquire()
    except TimeoutError as error:
        raise Unavailable("too many large manifests wait", headers=RETRY) from error
    try:
        yield
    finally:
        slots.release()


def may(request: web.Request, action: Action, name: RepositoryName) -> bool:
    """Return True if the caller may also do this: a mount pulls from its source."""
    return is_allowed(request.app[AUTHORIZER], principal(request), Access(action, name))


def view(request: web.Request, *, covered: bool = False) -> View:
    """Return the repositories that the caller may pull.

    With `covered` the caller's token must cover them too: a token for the catalog does not.
    """
    return CallersView(request.app[AUTHORIZER], principal(request), covered)


@dataclass(frozen=True, slots=True)
class CallersView(View):
    """The repositories that one caller may pull by the rules, and with `covered` by the token as well."""

    authorizer: Authorizer
    principal: Principal
    covered: bool

    @property
    @override
    def shows_all(self) -> bool:
        return self.authorizer.pulls_all(self.principal)

    @override
    def shows(self, name: RepositoryName) -> bool:
        access = Access(Action.PULL, name)
        if self.covered:
            return is_allowed(self.authorizer, self.principal, access)
        return self.authorizer.allows(self.principal, access)

    @override
    def reaches(self, namespace: str) -> bool:
        return self.authorizer.pulls_below(self.principal, namespace)


def parameter(request: web.Request, name: str) -> str | None:
    """Return the value of a query parameter, None if absent; the first of several, as in the CNCF registry."""
    return request.query.get(name)
