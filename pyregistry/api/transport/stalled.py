"""Disconnects clients that stopped reading, judged by TCP acknowledgements.

The system itself ends a connection whose other side is gone, but not one whose other side reports again and again that
it has no room: that may last for ever. A download that the kernel sends by itself is judged as any other answer.
"""

import asyncio
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple, TypeVar

import structlog

from pyregistry.api.http.forwarded import peer_of

_LOOKS = 4
"""How often a connection is looked at within the deadline."""
_TCP_INFO = struct.Struct("<24x I 92x Q 16x I")
"""Of Linux's `tcp_info`: packets that are under way, bytes acknowledged so far, bytes not yet sent."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: throw away what was not taken, instead of keeping it for the client after all."""

Connection = TypeVar("Connection")

log = structlog.get_logger("pyregistry.api")


class _Waiting(NamedTuple):
    """A client for which something has been waiting at each look since `begun`."""

    taken: int
    """Bytes, of all that it was sent."""
    since: float
    """The time at which it had taken them."""
    begun: float
    taken_before: int
    """The bytes that it had taken then."""


class StalledClientMonitor:
    """Disconnects clients that stopped reading, or read too slowly, judged while something waits for them."""

    def __init__(self, deadline: float, rate: float, window: float) -> None:
        """A client must take a byte in `deadline` seconds, and `rate` bytes per second over `window`; 0: any rate."""
        self._deadline, self._rate, self._window = deadline, rate, window
        self._pause = min(deadline, window) / _LOOKS
        self._waiting: dict[object, _Waiting] = {}
        self._next_look: asyncio.TimerHandle | None = None

    def watch(self, connections: Mapping[Connection, asyncio.BaseTransport]) -> None:
        """Look at them regularly, until there are none."""
        if self._next_look is None:
            loop = asyncio.get_running_loop()
            self._next_look = loop.call_later(self._pause, self._look, connections, loop)

    def _look(self, connections: Mapping[Connection, asyncio.BaseTransport], loop: asyncio.AbstractEventLoop) -> None:
        self._end_overdue(connections, loop.time())
        self._next_look = None
        if connections:
            self._next_look = loop.call_later(self._pause, self._look, connections, loop)

    def _end_overdue(self, connections: Mapping[Connection, asyncio.BaseTransport], now: float) -> None:
        waiting: dict[object, _Waiting] = {}
        for connection, transport in connections.items():
            taken = _taken(transport)
            if taken is None:
                continue
            waiting[connection] = known = self._after(self._waiting.get(connection), taken, now)
            too_slow = self._is_too_slow(known, now)
            if too_slow or now - known.since >= self._deadline:
                address, what = peer_of(transport.get_extra_info("peername")), "too little" if too_slow else "nothing"
                log.warning(f"connection closed: its client takes {what}", address=address, taken=taken)
                _end(transport)
        self._waiting = waiting

    def _after(self, before: _Waiting | None, taken: int, now: float) -> _Waiting:
        if before is None:
            return _Waiting(taken, now, now, taken)
        since = before.since if taken == before.taken else now
        known = before._replace(taken=taken, since=since)
        if now - before.begun < self._window or self._is_too_slow(known, now):
            return known
        return known._replace(begun=now, taken_before=taken)  # fast enough, and judged again after the next window

    def _is_too_slow(self, known: _Waiting, now: float) -> bool:
        # Until it last took something: a client may tell of its room in large steps, for which there is the deadline.
        seconds, taken = known.since - known.begun, known.taken - known.taken_before
        return now - known.begun >= self._window and 0 < taken < self._rate * seconds


def _taken(transport: asyncio.BaseTransport) -> int | None:
    """The bytes that the client has taken so far; None if nothing waits for it, or nobody can tell (a unix socket)."""
    connected = socket_of(transport)
    if connected is None or connected.family == socket.AF_UNIX:
        return None
    with suppress(OSError, struct.error):  # closed by now; a system that says less
        packets, taken, unsent = _TCP_INFO.unpack(
            connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        )
        return int(taken) if packets or unsent else None
    return None


def socket_of(transport: asyncio.BaseTransport) -> socket.socket | None:
    """Return the socket; None if there is none."""
    try:
        found: socket.socket | None = transport.get_extra_info("socket")
    except AttributeError:  # asyncio's, of TLS that was closed twice and waits for the client's goodbye
        return None
    return found


def _end(transport: asyncio.BaseTransport) -> None:
    # Not `transport.abort()`: asyncio's sendfile would wait for ever for a socket that was closed beneath it.
    connected = transport.get_extra_info("socket")
    with suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connected.shutdown(socket.SHUT_RDWR)
