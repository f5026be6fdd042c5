"""The one decision on every request: the caller, its rights, the metrics and the observers.

Both ways to a response call it: the ordinary one through middlewares and a handler, and the fast path, which has
neither. So each rule is written once. docs/decisions/0050 has the reasons.
"""

from typing import NamedTuple

from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy

from pyregistry.api.http.context import AUTHENTICATOR, AUTHORIZER, HEALTH, PRINCIPAL, distinct, repository_name
from pyregistry.api.http.forwarded import remote_of
from pyregistry.api.http.request_id import request_id
from pyregistry.auth.access import ANONYMOUS, Access, Principal, is_allowed
from pyregistry.observe.metrics import Metrics, RunningRequest
from pyregistry.observe.observers import Caller, Event, EventAction, EventTarget, Observers
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName

Headers = CIMultiDict[str] | CIMultiDictProxy[str]


class Content(NamedTuple):
    """The requested manifest or blob."""

    target: EventTarget
    digest: str
    media_type: str
    size: int
    """Bytes of the whole content."""


class Decision:
    """Rules before a response, and notices after it. Belongs to the event loop."""

    def __init__(self, app: web.Application, metrics: Metrics | None, observers: Observers) -> None:
        """Take the parts of a complete application. Without `metrics` nothing is counted."""
        self._health = app[HEALTH]
        self._authenticator, self._authorizer = app[AUTHENTICATOR], app[AUTHORIZER]
        self._metrics = metrics
        self._observers = observers
        self.is_observed = bool(observers)
        """True if there is an observer to notify of pulls."""

    # Before a response

    @property
    def is_serving(self) -> bool:
        """False while a health check fails: then only the probe endpoints respond."""
        return not self._health.is_failing

    async def authenticate(self, headers: Headers, remote: str) -> Principal:
        """Return the caller; raise Unauthorized and TooManyRequests.

        `remote` is the peer, or the client named by a trusted proxy: anyone can write X-Forwarded-For.
        """
        return await self._authenticator.authenticate(distinct(headers.getall(hdrs.AUTHORIZATION, ())), remote)

    def recognize(self, headers: Headers, remote: str) -> Principal | None:
        """Return the caller if that needs no waiting; None: call `authenticate`."""
        return self._authenticator.recognize(distinct(headers.getall(hdrs.AUTHORIZATION, ())), remote)

    def allows(self, principal: Principal, access: Access) -> bool:
        """Return True if the rules and the caller's token allow this."""
        return is_allowed(self._authorizer, principal, access)

    def allows_another_login(self, principal: Principal, access: Access) -> bool:
        """Return True if a refused access might be allowed after a login, or with a token for it."""
        return principal.name is None or self._authorizer.allows(principal, access)

    # After it

    def begin(self, endpoint: str, method: str, begun: float | None = None) -> RunningRequest | None:
        """Count a request that began at `begun` of `time.perf_counter`; return None without metrics."""
        return None if self._metrics is None else self._metrics.request(endpoint, method, begun)

    def observe_pull(
        self, caller: Caller, name: RepositoryName, reference: str, content: Content, action: EventAction
    ) -> None:
        """Notify the observers of a response to a GET or HEAD of this content."""
        target, digest, media_type, size = content
        known = digest if isinstance(digest, Digest) else Digest(digest)
        tags = () if ":" in reference else (reference,)
        self._observers.observe(Event(action, target, name, known, caller, media_type, size, tags))

    async def record(self, event: Event) -> None:
        """Notify the observers of a durable change, before its response."""
        await self._observers.record(event)


DECISION = web.AppKey("decision", Decision)


def pull_action(method: str, status: int) -> EventAction:
    """Return the kind of pull that a response is."""
    if status == 304:
        return EventAction.NOT_MODIFIED
    if method == hdrs.METH_HEAD:
        return EventAction.HEAD
    return EventAction.PULL_RANGE if status == 206 else EventAction.PULL


def caller_of(request: web.BaseRequest) -> Caller:
    """Return the client of a request; anonymous if it was refused before authentication."""
    try:
        principal = request[PRINCIPAL]
    except KeyError:
        principal = ANONYMOUS
    return Caller(principal, request_id(request), remote_of(request), request.headers.get(hdrs.USER_AGENT, ""))


def observe_pull(request: web.Request, reference: str, content: Content, status: int) -> None:
    """Notify the observers of a response to a GET or HEAD that was sent, or is ready to be."""
    decision = request.app[DECISION]
    if decision.is_observed:
        name, action = repository_name(request), pull_action(request.method, status)
        decision.observe_pull(caller_of(request), name, reference, content, action)


async def record(request: web.Request, event: Event) -> None:
    """Notify the observers of a durable change by this request."""
    await request.app[DECISION].record(event)
