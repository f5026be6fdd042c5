"""Clients that take nothing of what they are sent, found by what their kernel acknowledged.

The system itself ends a connection whose other side is gone, but not one whose other side says again and again that it
has no room: that may be for ever. Looked at from here, a download that the kernel sends by itself is no different from
any other answer.
"""

import asyncio
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import TypeVar

import structlog

from pyregistry.api.forwarded import peer_of

_LOOKS = 4
"""How often a connection is looked at within the deadline."""
_TCP_INFO = struct.Struct("<24x I 92x Q 16x I")
"""Of Linux's `tcp_info`: packets that are under way, bytes acknowledged so far, bytes not yet sent."""
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: throw away what was not taken, instead of keeping it for the client after all."""

Connection = TypeVar("Connection")

log = structlog.get_logger("pyregistry.api")


class UnreadAnswers:
    """What waits for clients, and since when."""

    def __init__(self, deadline: float) -> None:
        """`deadline` in seconds: how long a client may take nothing."""
        self._deadline = deadline
        self._waiting: dict[object, tuple[int, float]] = {}
        self._next_look: asyncio.TimerHandle | None = None

    def watch(self, connections: Mapping[Connection, asyncio.BaseTransport]) -> None:
        """Look at them regularly, until there are none."""
        if self._next_look is None:
            loop = asyncio.get_running_loop()
            self._next_look = loop.call_later(self._deadline / _LOOKS, self._look, connections, loop)

    def _look(self, connections: Mapping[Connection, asyncio.BaseTransport], loop: asyncio.AbstractEventLoop) -> None:
        self._end_overdue(connections, loop.time())
        self._next_look = None
        if connections:
            self._next_look = loop.call_later(self._deadline / _LOOKS, self._look, connections, loop)

    def _end_overdue(self, connections: Mapping[Connection, asyncio.BaseTransport], now: float) -> None:
        waiting: dict[object, tuple[int, float]] = {}
        for connection, transport in connections.items():
            taken = _taken(transport)
            if taken is None:
                continue
            before, since = self._waiting.get(connection, (-1, now))
            waiting[connection] = taken, since if taken == before else now
            if taken == before and now - since >= self._deadline:
                peer = transport.get_extra_info("peername")
                log.warning("connection closed: its client takes nothing", address=peer_of(peer), taken=taken)
                _end(transport)
        self._waiting = waiting


def _taken(transport: asyncio.BaseTransport) -> int | None:
    """The bytes that the client has taken so far; None if nothing waits for it, or nobody can tell (a unix socket)."""
    connected = transport.get_extra_info("socket")
    if connected is None or connected.family == socket.AF_UNIX:
        return None
    with suppress(OSError, struct.error):  # closed by now; a system that says less
        packets, taken, unsent = _TCP_INFO.unpack(
            connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        )
        return int(taken) if packets or unsent else None
    return None


def _end(transport: asyncio.BaseTransport) -> None:
    # Not `transport.abort()`: asyncio's sendfile would wait for ever for a socket that was closed beneath it.
    connected = transport.get_extra_info("socket")
    with suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connected.shutdown(socket.SHUT_RDWR)
