"""Disconnects clients that stopped reading, judged by TCP acknowledgements.

The system closes a connection whose peer is gone. It does not close one whose peer reports a zero window again and
again, for ever. A download that the kernel sends by itself is judged as any other response.
"""

import asyncio
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple, TypeVar

import structlog

from pyregistry.api.http.forwarded import peer_of

_CHECKS = 4
"""Checks of a connection within the deadline."""
_TCP_INFO = struct.Struct("<24x I 92x Q 16x I")
"""Of Linux's `tcp_info`: packets in flight, bytes acknowledged so far, bytes not yet sent."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: discard unsent data instead of keeping it for the client."""

_STOPPED = "connection closed: client stopped reading"
_TOO_SLOW = "connection closed: client reads too slowly"

Connection = TypeVar("Connection")

log = structlog.get_logger("pyregistry.api")


class _Unacknowledged(NamedTuple):
    """A connection with unacknowledged data at each check since `begun`."""

    acked: int
    """Bytes acknowledged so far."""
    since: float
    """Time of the last progress."""
    begun: float
    acked_before: int
    """Bytes acknowledged at `begun`."""


class StalledClientMonitor:
    """Disconnects clients that stopped reading, or read too slowly, judged while they have unacknowledged data."""

    def __init__(self, deadline: float, rate: float, window: float) -> None:
        """Require a byte in `deadline` seconds, and `rate` bytes per second over `window`; 0: any rate."""
        self._deadline, self._rate, self._window = deadline, rate, window
        self._pause = min(deadline, window) / _CHECKS
        self._waiting: dict[object, _Unacknowledged] = {}
        """Unacknowledged data per connection."""
        self._next_check: asyncio.TimerHandle | None = None

    def watch(self, connections: Mapping[Connection, asyncio.BaseTransport]) -> None:
        """Check these connections regularly, as long as there are any."""
        if self._next_check is None:
            loop = asyncio.get_running_loop()
            self._next_check = loop.call_later(self._pause, self._check, connections, loop)

    def _check(self, connections: Mapping[Connection, asyncio.BaseTransport], loop: asyncio.AbstractEventLoop) -> None:
        self._end_overdue(connections, loop.time())
        self._next_check = None
        if connections:
            self._next_check = loop.call_later(self._pause, self._check, connections, loop)

    def _end_overdue(self, connections: Mapping[Connection, asyncio.BaseTransport], now: float) -> None:
        waiting: dict[object, _Unacknowledged] = {}
        for connection, transport in connections.items():
            acked = _bytes_acked(transport)
            if acked is None:
                continue
            waiting[connection] = known = self._after(self._waiting.get(connection), acked, now)
            too_slow = self._is_too_slow(known, now)
            if too_slow or now - known.since >= self._deadline:
                address, event = peer_of(transport.get_extra_info("peername")), _TOO_SLOW if too_slow else _STOPPED
                log.warning(event, address=address, taken=acked)
                _end(transport)
        self._waiting = waiting

    def _after(self, before: _Unacknowledged | None, acked: int, now: float) -> _Unacknowledged:
        if before is None:
            return _Unacknowledged(acked, now, now, acked)
        since = before.since if acked == before.acked else now
        known = before._replace(acked=acked, since=since)
        if now - before.begun < self._window or self._is_too_slow(known, now):
            return known
        return known._replace(begun=now, acked_before=acked)  # fast enough, and judged again after the next window

    def _is_too_slow(self, known: _Unacknowledged, now: float) -> bool:
        # Up to the last progress: a client may open its window in large steps, for which there is the deadline.
        seconds, acked = known.since - known.begun, known.acked - known.acked_before
        return now - known.begun >= self._window and 0 < acked < self._rate * seconds


def _bytes_acked(transport: asyncio.BaseTransport) -> int | None:
    """Return the acknowledged bytes; None if all are, or if that is unknown (a unix socket)."""
    connected = socket_of(transport)
    if connected is None or connected.family == socket.AF_UNIX:
        return None
    with suppress(OSError, struct.error):  # closed meanwhile; a system with a shorter `tcp_info`
        packets, acked, unsent = _TCP_INFO.unpack(
            connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        )
        return int(acked) if packets or unsent else None
    return None


def socket_of(transport: asyncio.BaseTransport) -> socket.socket | None:
    """Return the socket of a transport; None if it has lost it."""
    try:
        found: socket.socket | None = transport.get_extra_info("socket")
    except AttributeError:  # asyncio's, of a TLS transport that was closed twice and waits for its client
        return None
    return found


def _end(transport: asyncio.BaseTransport) -> None:
    # Not `transport.abort()`: asyncio's sendfile would wait for ever for a socket that was closed under it.
    connected = transport.get_extra_info("socket")
    with suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connected.shutdown(socket.SHUT_RDWR)
