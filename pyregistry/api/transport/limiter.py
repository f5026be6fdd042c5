"""Limits of connections, in all and by address, counted from the first byte of a TLS handshake on.

At a limit the connection that has been idle longest is closed for the new one, so that idle clients lock out no other.
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
"""Idle connections that one search finds, so that a flood of new ones does not cost a search each."""
_FRUITLESS_SECONDS = 0.1
"""Time after a search without success in which the same search is not repeated."""
_WHOLE = ""
"""The search of all networks, beside the names of networks."""
_INT = struct.Struct("i")

log = structlog.get_logger("pyregistry.api")


class Countable(Protocol):
    """A connection."""

    def idle_since(self) -> float | None:
        """Return the time (of the loop) since which it has had no whole head; None while a request runs."""

    def close_idle(self) -> None:
        """Close it."""


@dataclass(slots=True)
class _Counted:
    network: str
    transport: asyncio.Transport


@dataclass(slots=True)
class ConnectionCounts:
    """Connections of a worker: those that are open, and those that a limit has ended since the worker began."""

    open: int = 0
    refused: int = 0
    """Ended as they came."""
    closed_idle: int = 0
    """Ended for a new one."""


CONNECTION_COUNTS = web.AppKey("connection_counts", ConnectionCounts)
"""Missing where nothing shows them."""


class ConnectionLimiter:
    """Makes room for new connections at the limits, or refuses them."""

    def __init__(self, connections: int, connections_per_address: int, counts: ConnectionCounts | None = None) -> None:
        """`counts` are kept up to date."""
        self._counts = counts or ConnectionCounts()
        self._max_connections, self._max_per_network = connections, connections_per_address
        self._counted: dict[Countable, _Counted] = {}
        self._by_network: dict[str, dict[Countable, None]] = {}
        self._idle: dict[str, deque[tuple[Countable, float]]] = {}
        """The finds of the last search of a network, the longest idle first. They may have changed since."""
        self._fruitless_until: dict[str, float] = {}
        """For each network, and for the whole: one that is at its own limit stops no search for the others."""

    def begin(self, connection: Countable, peer: object, transport: asyncio.Transport) -> None:
        """Count a connection, unless it is counted. Above a limit, close an idle one, or this one at once.

        `peer` is the system's name of the other side. An IPv6 network of 64 bits is one address.
        """
        if connection in self._counted:
            return
        network = network_of(peer_of(peer)) or "unix"
        of_network = self._by_network.setdefault(network, {})
        self._counted[connection] = _Counted(network, transport)
        self._counts.open += 1
        of_network[connection] = None
        if len(of_network) > self._max_per_network:
            has_room = self._make_room(network, connection)
        else:
            has_room = len(self._counted) <= self._max_connections or self._make_room(_WHOLE, connection)
        if not has_room:
            self._counts.refused += 1
            log.warning("connection refused: too many", address=network, connections=len(self._counted))
            asyncio.get_running_loop().call_soon(transport.abort)  # one of TLS has its socket only then

    def end(self, connection: Countable) -> None:
        """Count a connection down, unless that was done."""
        counted = self._counted.pop(connection, None)  # a transport's, after TLS, is forgotten by now
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

    def _make_room(self, searched: str, newcomer: Countable) -> bool:
        """Close the connection that is idle longest: in this network, or in the largest one that has an idle one.

        Return False if none is idle.
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
    """Return True if something has come that was not read yet: a request, most likely."""
    connected = socket_of(transport)
    if connected is None or transport.get_extra_info("sslcontext") is not None:
        return False
    try:
        waiting = fcntl.ioctl(connected.fileno(), termios.FIONREAD, bytes(_INT.size))
    except OSError:  # it is closed
        return False
    return bool(_INT.unpack(waiting)[0])
