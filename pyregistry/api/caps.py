"""How many connections there are, in all and from each address, from the first byte of a TLS handshake on."""

import asyncio
from collections import Counter

import structlog

from pyregistry.api.forwarded import peer_of

log = structlog.get_logger("pyregistry.api")


class Caps:
    """Refuses what is above the caps."""

    def __init__(self, connections: int, connections_per_address: int) -> None:
        self._most, self._most_of_one = connections, connections_per_address
        self._addresses: dict[object, str] = {}
        self._by_address: Counter[str] = Counter()

    def begin(self, connection: object, peer: object, transport: asyncio.Transport) -> None:
        """Count it, unless it is counted, and close it if it is one too many: at once, which costs the least.

        `peer` is what the system calls the other side.
        """
        if connection in self._addresses:
            return
        self._addresses[connection] = address = peer_of(peer) or "unix"
        self._by_address[address] += 1
        if len(self._addresses) > self._most or self._by_address[address] > self._most_of_one:
            log.warning("connection refused: too many", address=address, connections=len(self._addresses))
            asyncio.get_running_loop().call_soon(transport.abort)  # one of TLS has its socket only then

    def end(self, connection: object) -> None:
        """It is gone."""
        address = self._addresses.pop(connection, None)  # a transport's, after TLS, is forgotten by now
        if address is None:
            return
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
