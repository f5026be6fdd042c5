"""The fast path: small cached responses, sent where a request is parsed, without a task, a router and middlewares.

The most frequent requests need a `stat` or two: is a manifest or blob still there? aiohttp's way from a parsed request
to its handler and back costs more than that. So a plain GET or HEAD of an endpoint with `cached` is tried here first.
Unusual requests, those that have to wait and refusals take the ordinary way. Its responses are the same, which
`tests/api/test_fast_path.py` compares. docs/decisions/0015 has the reasons, 0050 the parts that both ways share.
"""

import time
from collections.abc import Callable, Sequence
from email.utils import formatdate
from functools import lru_cache, partial
from typing import NamedTuple

import structlog
from aiohttp import HttpVersion11, hdrs, web

from pyregistry.api.http.access_log import LogEntry
from pyregistry.api.http.cached import Cached, CachedResponse, Caches, FindCached, ParsedHead
from pyregistry.api.http.context import BLOB_CACHE, MANIFEST_CACHE, SETTINGS
from pyregistry.api.http.decision import DECISION, Content, pull_action
from pyregistry.api.http.forwarded import client_address
from pyregistry.api.http.request_id import HEADER, accepted_id
from pyregistry.api.middleware import MIDDLEWARES, constant_headers
from pyregistry.api.routes import ENDPOINTS, Endpoint
from pyregistry.auth.access import Access, Action
from pyregistry.observe.observers import Caller, EventTarget
from pyregistry.oci.errors import NameInvalid
from pyregistry.oci.names import RepositoryName

log = structlog.get_logger("pyregistry.api")


class _Row(NamedTuple):
    name: str
    """The name in metrics."""
    access: Callable[[str], Access | None]
    """Returns the access that a request for this repository needs; None for an invalid name."""
    find: FindCached
    target: EventTarget


class CachedResponses:
    """Responses from an application's caches. Belongs to the event loop."""

    def __init__(self, app: web.Application) -> None:
        """Take a complete application."""
        self._app = app
        self._is_on: bool | None = None
        """None until the first request: before it a middleware may be added."""
        self._caches = Caches(app[MANIFEST_CACHE], app[BLOB_CACHE])
        self._decision = app[DECISION]
        self._proxies = app[SETTINGS].proxies
        self._root = f"{app[SETTINGS].prefix}/v2/"
        self._rows = _cached_rows(ENDPOINTS)
        self._constant = "".join(f"{name}: {value}\r\n" for name, value in constant_headers(app[SETTINGS]))

    def find(self, message: ParsedHead, peer: str) -> CachedResponse | None:
        """Return the response to a request without a body; None: it must take the ordinary way.

        `peer` is the address of the peer, empty for a unix socket.
        """
        begun = time.perf_counter()
        method, path, headers, decision = message.method, message.path, message.headers, self._decision
        directory, _, reference = path.rpartition("/")
        above, _, kind = directory.rpartition("/")
        row = self._rows.get((method, kind))
        if row is None or not path.startswith(self._root) or not self._is_plain(message):
            return None
        # Matched from the right, as by the router. The caches have no invalid name, tag or digest.
        access = row.access(above[len(self._root) :])
        remote = client_address(self._proxies, peer, headers)
        principal = decision.recognize(headers, remote)
        if access is None or access.repository is None or principal is None or not decision.allows(principal, access):
            return None
        name = access.repository
        found = row.find(self._caches, name, reference, headers, principal)
        if found is None:
            return None
        request_id, agent, size = accepted_id(headers.get(HEADER)), headers.get(hdrs.USER_AGENT, ""), len(found.body)
        content = self._head(found, request_id) + found.body
        running = decision.begin(row.name, method, begun)
        if running is not None:
            running.end(200, 0, size)
        if decision.is_observed:
            asked = Content(
                row.target, found.headers["Docker-Content-Digest"], found.headers["Content-Type"], found.size
            )
            caller = Caller(principal, request_id, remote, agent)
            decision.observe_pull(caller, name, reference, asked, pull_action(method, 200))
        user = principal.name or ""
        return CachedResponse(
            content, LogEntry(remote, request_id, user, method, path, "HTTP/1.1", name, 200, size, agent)
        )

    def _is_plain(self, message: ParsedHead) -> bool:
        if message.version != HttpVersion11 or message.should_close or message.upgrade:
            return False
        if hdrs.IF_NONE_MATCH in message.headers or hdrs.EXPECT in message.headers:
            return False
        if self._is_on is None:
            self._is_on = self._knows_all_middlewares()
        return self._is_on and self._decision.is_serving

    def _knows_all_middlewares(self) -> bool:
        """Return False if a middleware was added, which cached responses would skip."""
        unknown = [each for each in self._app.middlewares if each not in self._app[MIDDLEWARES]]
        if unknown:
            names = [getattr(each, "__qualname__", type(each).__name__) for each in unknown]
            log.warning(
                "fast path off: requests must pass the middlewares that were added",
                middlewares=names,
            )
        return not unknown

    def _head(self, found: Cached, request_id: str) -> bytes:
        own = "".join([f"{name}: {value}\r\n" for name, value in found.headers.items()])
        return (
            f"HTTP/1.1 200 OK\r\n{own}Content-Length: {found.size}\r\n{self._constant}"
            f"{HEADER}: {request_id}\r\nDate: {_date(int(time.time()))}\r\n\r\n"
        ).encode()


def _cached_rows(endpoints: Sequence[Endpoint]) -> dict[tuple[str, str], _Row]:
    """Return the rows with `cached`, by their method and the word before the reference."""
    return {
        (each.method, each.path.rpartition("/{")[0].rpartition("/")[2]): _Row(
            each.name, lru_cache(1024)(partial(_access, each.action)), each.cached, EventTarget(each.name)
        )
        for each in endpoints
        if each.cached is not None
    }


def _access(action: Action, name: str) -> Access | None:
    try:
        return Access(action, RepositoryName(name))
    except NameInvalid:
        return None


@lru_cache(1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
