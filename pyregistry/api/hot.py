"""Small answers from memory, given where a request is parsed: without a task, a router and middlewares.

What clients ask most, whether a manifest or a blob is still there and what it says, takes a look or two at the disk;
aiohttp's way from a parsed request to its handler and back costs more than that. So a plain GET or HEAD is tried here
first. Whatever is unusual, whatever has to wait and every refusal goes the ordinary way, whose answers are the same:
`tests/api/test_hot.py` lays them side by side. docs/decisions/0015 has the reasons.
"""

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import HttpVersion11, hdrs, web

from pyregistry.api.accepting import wants_image
from pyregistry.api.access_log import Entry
from pyregistry.api.blobs import blob_headers
from pyregistry.api.context import AUTHENTICATOR, AUTHORIZER, HEALTH, HOT_BLOBS, HOT_MANIFESTS, SETTINGS
from pyregistry.api.large import LARGE
from pyregistry.api.manifests import manifest_headers
from pyregistry.api.middleware import constant_headers
from pyregistry.api.request_id import HEADER, accepted_id
from pyregistry.auth.access import Access, Action, Principal
from pyregistry.metrics import Metrics
from pyregistry.oci.errors import NameInvalid
from pyregistry.oci.media_types import INDEXES
from pyregistry.oci.names import RepositoryName

if TYPE_CHECKING:
    from pyregistry.api.transport.internals import RawRequestMessage

_METHODS = frozenset({"GET", "HEAD"})
_MANIFESTS, _BLOBS = "/manifests", "/blobs"


class Asked(NamedTuple):
    """What a request is about; `kind` as the metrics name it."""

    kind: str
    name: str
    reference: str


class Answer(NamedTuple):
    """The bytes of an answer, head and body, and its line of the access log."""

    content: bytes
    entry: Entry


class _Found(NamedTuple):
    headers: Mapping[str, str]
    size: int
    body: bytes


class HotAnswers:
    """Answers from what an application's caches know. Belongs to the event loop."""

    def __init__(self, app: web.Application, metrics: Metrics | None) -> None:
        """When all parts of the application are there."""
        self._manifests, self._blobs = app[HOT_MANIFESTS], app[HOT_BLOBS]
        self._authenticator, self._authorizer = app[AUTHENTICATOR], app[AUTHORIZER]
        self._health = app[HEALTH]
        self._proxies = app[SETTINGS].proxies
        self._metrics = metrics
        self._root = f"{app[SETTINGS].prefix}/v2/"
        self._constant = "".join(f"{name}: {value}\r\n" for name, value in constant_headers(app[SETTINGS]))

    def find(self, message: "RawRequestMessage", peer: str) -> Answer | None:
        """The answer to a request that has no body; None: it has to go the ordinary way.

        `peer` is the address of the other side, empty where it has none.
        """
        begun = time.perf_counter()
        asked = self._asked(message)
        if asked is None:
            return None
        method, headers = message.method, message.headers
        remote = peer if self._proxies is None else self._proxies.client(peer, headers)
        principal = self._authenticator.recognize(headers.getall(hdrs.AUTHORIZATION, ()), remote)
        if principal is None or not self._may_pull(principal, asked.name):
            return None
        found = self._find(asked, message, principal)
        if found is None:
            return None
        request_id = accepted_id(headers.get(HEADER))
        content = self._head(found, request_id) + found.body
        if self._metrics is not None:
            self._metrics.request(asked.kind, method, begun).end(200, 0, len(found.body))
        agent, user = headers.get(hdrs.USER_AGENT, ""), principal.name or ""
        size = len(found.body)
        return Answer(
            content, Entry(remote, request_id, user, method, message.path, "HTTP/1.1", asked.name, 200, size, agent)
        )

    def _asked(self, message: "RawRequestMessage") -> Asked | None:
        method, path, headers = message.method, message.path, message.headers
        if method not in _METHODS or not path.startswith(self._root):
            return None
        if message.version != HttpVersion11 or message.should_close or message.upgrade or self._health.is_failing:
            return None
        if hdrs.IF_NONE_MATCH in headers or hdrs.EXPECT in headers:
            return None
        # As the router reads it, from the right. What is no name, no tag and no digest was never remembered.
        directory, _, reference = path.rpartition("/")
        if directory.endswith(_MANIFESTS):
            return Asked("manifest", directory[len(self._root) : -len(_MANIFESTS)], reference)
        if method == "HEAD" and directory.endswith(_BLOBS):
            return Asked("blob", directory[len(self._root) : -len(_BLOBS)], reference)
        return None

    def _may_pull(self, principal: Principal, name: str) -> bool:
        access = _pull(name)
        return access is not None and principal.covers(access) and self._authorizer.allows(principal, access)

    def _find(self, asked: Asked, message: "RawRequestMessage", principal: Principal) -> _Found | None:
        if asked.kind == "blob":
            size = self._blobs.find(asked.name, asked.reference)
            return None if size is None else _Found(blob_headers(asked.reference, principal), size, b"")
        is_head = message.method == "HEAD"
        stored = self._manifests.find(asked.name, asked.reference, leased=is_head)
        if stored is None or not stored.media_type.isprintable():  # a foreign one could break the head
            return None
        if stored.media_type in INDEXES and wants_image(message.headers):
            return None
        body = b"" if is_head else stored.content
        if len(body) > LARGE:  # sent from its file: a client that reads nothing would make this a copy of it
            return None
        return _Found(manifest_headers(stored), len(stored.content), body)

    def _head(self, found: _Found, request_id: str) -> bytes:
        own = "".join([f"{name}: {value}\r\n" for name, value in found.headers.items()])
        return (
            f"HTTP/1.1 200 OK\r\n{own}Content-Length: {found.size}\r\n{self._constant}"
            f"{HEADER}: {request_id}\r\nDate: {_date(int(time.time()))}\r\n\r\n"
        ).encode()


HOT_ANSWERS = web.AppKey("hot_answers", HotAnswers)


@lru_cache(1024)
def _pull(name: str) -> Access | None:
    try:
        return Access(Action.PULL, RepositoryName(name))
    except NameInvalid:
        return None


@lru_cache(1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
