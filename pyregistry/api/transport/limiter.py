"""Limits the number of connections, in total and by address, counted from the start of a TLS handshake.

At a limit the longest idle connection is closed, so that idle clients do not lock out others.
"""

import asyncio
import fcntl
import struct
import termios
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import structlog
from aiohttp import web

from pyregistry.api.http.forwarded import peer_of
from pyregistry.api.transport.stalled import socket_of
from pyregistry.auth.throttle import network_of

_SEARCHED_AT_ONCE = 64
"""Idle connections found by one search, so that in a flood of new ones not each costs a search."""
_FRUITLESS_SECONDS = 0.1
"""Seconds after a fruitless search in which it is not repeated."""
_WHOLE = ""
"""Name for all networks together."""
_INT = struct.Struct("i")

log = structlog.get_logger("pyregistry.api")


class Countable(Protocol):
    """A connection that the limiter counts."""

    def idle_since(self) -> float | None:
        """Return the time (of the loop) since which it has had no complete head; None while a request runs."""

    def close_idle(self) -> None:
        """Close it."""


@dataclass(slots=True)
class _Counted:
    network: str
    transport: asyncio.Transport


@dataclass(slots=True)
class ConnectionCounts:
    """Connections of a worker: those open now, and those closed by a limit since it started."""

    open: int = 0
    refused: int = 0
    """Closed when they were accepted."""
    closed_idle: int = 0
    """Idle ones, closed for a new one."""


CONNECTION_COUNTS = web.AppKey("connection_counts", ConnectionCounts)
"""Absent without metrics."""


class ConnectionLimiter:
    """Closes idle connections at the limits, or refuses new ones."""

    def __init__(self, connections: int, connections_per_address: int, counts: ConnectionCounts | None = None) -> None:
        """Keep `counts` up to date."""
        self._counts = counts or ConnectionCounts()
        self._max_connections, self._max_per_network = connections, connections_per_address
        self._counted: dict[Countable, _Counted] = {}
        self._by_network: dict[str, dict[Countable, None]] = {}
        self._idle: dict[str, deque[tuple[Countable, float]]] = {}
        """Idle connections by network, found by its last search, the longest idle first. They may be stale."""
        self._fruitless_until: dict[str, float] = {}
        """By network, and for all: one network at its own limit stops no search for the others."""

    def begin(self, connection: Countable, peer: object, transport: asyncio.Transport) -> None:
        """Count a connection, unless it is counted. Above a limit, close an idle one, or this one at once.

        `peer` is the socket's peer name. An IPv6 network of 64 bits counts as one address.
        """
        if connection in self._counted:
            return
        network = network_of(peer_of(peer)) or "unix"
        of_network = self._by_network.setdefault(network, {})
        self._counted[connection] = _Counted(network, transport)
        self._counts.open += 1
        of_network[connection] = None
        if len(of_network) > self._max_per_network:
            is_admitted = self._close_longest_idle(network, connection)
        else:
            is_admitted = len(self._counted) <= self._max_connections or self._close_longest_idle(_WHOLE, connection)
        if not is_admitted:
            self._counts.refused += 1
            log.warning("connection refused: too many", address=network, connections=len(self._counted))
            asyncio.get_running_loop().call_soon(transport.abort)  # a TLS transport has its socket only then

    def end(self, connection: Countable) -> None:
        """Stop counting a connection, if it is counted."""
        counted = self._counted.pop(connection, None)
        if counted is None:
            return
        self._counts.open -= 1
        of_network = self._by_network[counted.network]
        del of_network[connection]
        if not of_network:
            del self._by_network[counted.network]
            self._idle.pop(counted.network, None)
            self._fruitless_until.pop(counted.network, None)

    def _largest_first(self) -> list[str]:
        return sorted(self._by_network, key=lambda network: len(self._by_network[network]), reverse=True)

    def _close_longest_idle(self, searched: str, newcomer: Countable) -> bool:
        """Close the longest idle connection of this network, or of the largest network that has an idle one.

        Return False if no connection is idle.
        """
        now = asyncio.get_running_loop().time()
        if now < self._fruitless_until.get(searched, 0.0):
            return False
        for network in self._largest_first() if searched == _WHOLE else [searched]:
            found = self._longest_idle(network, newcomer)
            if found is not None:
                self._counts.closed_idle += 1
                log.warning("idle connection closed: too many", address=network, connections=len(self._counted))
                self.end(found)
                found.close_idle()
                return True
        self._fruitless_until[searched] = now + _FRUITLESS_SECONDS
        return False

    def _longest_idle(self, network: str, newcomer: Countable) -> Countable | None:
        for _ in range(2):  # the second time after a new search
            found = self._idle.get(network, deque())
            while found:
                connection, since = found.popleft()
                if self._is_still_idle(connection, since):
                    return connection
            self._idle[network] = self._search(network, newcomer)
        return None

    def _search(self, network: str, newcomer: Countable) -> deque[tuple[Countable, float]]:
        found = [
            (since, connection)
            for connection in self._by_network[network]
            if connection is not newcomer and (since := connection.idle_since()) is not None
        ]
        found.sort(key=lambda pair: pair[0])
        return deque((connection, since) for since, connection in found[:_SEARCHED_AT_ONCE])

    def _is_still_idle(self, connection: Countable, since: float) -> bool:
        counted = self._counted.get(connection)
        return counted is not None and connection.idle_since() == since and not _has_unread(counted.transport)


def _has_unread(transport: asyncio.Transport) -> bool:
    """Return True if bytes have arrived that were not read yet: most likely a request."""
    connected = socket_of(transport)
    if connected is None or transport.get_extra_info("sslcontext") is not None:
        return False
    try:
        waiting = fcntl.ioctl(connected.fileno(), termios.FIONREAD, bytes(_INT.size))
    except OSError:  # it is closed
        return False
    return bool(_INT.unpack(waiting)[0])
