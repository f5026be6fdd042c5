"""Events of the registry, and the seam for their observers: notifications, metadata, an audit log.

An event is a durable change, or content that was sent. Failed requests cause no event. docs/decisions/0050 has the
reasons.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

import structlog

from pyregistry.auth.access import Principal
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName

RECORD_SECONDS = 5.0
"""Seconds for which the response to a change waits for all Recorders together."""
REPEAT_SECONDS = 60.0
"""Seconds between two log lines about the same observer."""

log = structlog.get_logger("pyregistry.observers")


class EventAction(StrEnum):
    """Actions on a manifest, a blob or a tag."""

    PUSH = "push"
    MOUNT = "mount"
    DELETE = "delete"
    PULL = "pull"
    """GET with the whole content as its response."""
    PULL_RANGE = "pull-range"
    """GET of ranges (206)."""
    HEAD = "head"
    """HEAD with status 200: clients check for a new image this way, or before a push."""
    NOT_MODIFIED = "not-modified"
    """GET or HEAD with status 304: the client has the content."""


class EventTarget(StrEnum):
    """Kinds of objects of an event."""

    MANIFEST = "manifest"
    BLOB = "blob"
    """Link of a repository to a blob: deleting it frees no bytes."""
    TAG = "tag"
    """Tag that was deleted without its manifest. Tags are set by the push of a manifest."""


class Caller(NamedTuple):
    """Client of a request."""

    principal: Principal
    request_id: str
    remote: str
    """Address of the client, also behind a trusted proxy; empty for a unix socket."""
    user_agent: str
    """As the client sent it: any text."""


class Event(NamedTuple):
    """One event of one repository."""

    action: EventAction
    target: EventTarget
    repository: RepositoryName
    digest: Digest
    """Digest of the content; for a deleted tag the digest that it named."""
    caller: Caller
    media_type: str = ""
    """Empty for deletions."""
    size: int | None = None
    """Bytes of the whole content; None for deletions of manifests and tags."""
    tags: tuple[str, ...] = ()
    """Tags that were set or deleted, or the tag of a pull; empty for a pull by digest."""
    previous: Mapping[str, Digest] = MappingProxyType({})
    """Digests that the pushed tags named before, without new tags."""
    source: RepositoryName | None = None
    """Repository from which a blob was mounted."""

    @property
    def is_change(self) -> bool:
        """True if it changed the repository."""
        return self.action in _CHANGES


_CHANGES = frozenset({EventAction.PUSH, EventAction.MOUNT, EventAction.DELETE})


class Observer(Protocol):
    """Follows the events of one process."""

    def observe(self, event: Event) -> None:
        """Note an event. Called on the event loop: must not block, and hands its work to a thread or task."""


@runtime_checkable
class Recorder(Protocol):
    """Observer that records a change before the client gets its response, such as an outbox of notifications."""

    async def record(self, event: Event) -> None:
        """Return when an event, already observed, is durable. The response waits RECORD_SECONDS at most."""


class Observers:
    """All observers of a process. Their failures are logged, and change no response. Belongs to the event loop."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)
        self._recorders = tuple(each for each in self._observers if isinstance(each, Recorder))
        self._failures = {id(each): _Failures() for each in self._observers}

    def __bool__(self) -> bool:
        """Return True if there is an observer."""
        return bool(self._observers)

    def observe(self, event: Event) -> None:
        """Notify all observers."""
        for observer in self._observers:
            try:
                observer.observe(event)
            except Exception as error:  # any failure: the change is durable, or the content was sent
                self._failed(observer, error)

    async def record(self, event: Event) -> None:
        """Notify all observers of a change, and wait until the Recorders have recorded it."""
        self.observe(event)
        if self._recorders:
            await asyncio.gather(*(self._record(recorder, event) for recorder in self._recorders))

    async def _record(self, recorder: Recorder, event: Event) -> None:
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                await recorder.record(event)
        except Exception as error:  # as in `observe`; TimeoutError is one of them
            self._failed(recorder, error)

    def _failed(self, observer: object, error: Exception) -> None:
        failures = self._failures[id(observer)]
        if failures.add():
            name, count = type(observer).__name__, failures.count
            log.error("observer failed, its event is lost", observer=name, failures=count, exc_info=error)


class _Failures:
    """Failures of one observer, so that not each needs a line in the log."""

    def __init__(self) -> None:
        self.count = 0
        self._logged_at = float("-inf")

    def add(self) -> bool:
        """Count one; return True if the log has had no line for REPEAT_SECONDS."""
        self.count += 1
        now = time.monotonic()
        if now - self._logged_at < REPEAT_SECONDS:
            return False
        self._logged_at = now
        return True
