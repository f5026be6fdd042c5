"""Bodies that come in many small pieces, which the kernel keeps until several are there."""

import asyncio
import socket
from contextlib import suppress

GATHERED = 256 * 1024
"""Bytes: as many as asyncio reads at once."""
GATHERING_SECONDS = 0.01
"""How long bytes may lie there, and so how much later the end of such a body may be seen."""
BEGIN_SECONDS = 0.2
"""How long a body has to have been arriving, so that this is little of its time."""


class Gathering:
    """Lets the event loop sleep while less than a good piece of a body is there.

    `docker push` compresses while it sends: 32 KiB every few milliseconds, each of which would wake the event loop, the
    parser and the handler. The kernel (SO_RCVLOWAT) also wakes us when there is no room for more and when the
    connection ends; of the end of a body it knows nothing, so that a timer asks for what is there.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.BaseTransport | None) -> None:
        self._loop = loop
        self._socket: socket.socket | None = None if transport is None else transport.get_extra_info("socket")
        self._begin = loop.time() + BEGIN_SECONDS
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def received(self) -> None:
        """A piece of the body has come."""
        now = self._loop.time()
        if now < self._begin:
            return
        self._until = now + GATHERING_SECONDS
        if self._timer is None:
            self._wake_at(GATHERED)
            self._timer = self._loop.call_at(self._until, self._look)

    def stop(self) -> None:
        """From now on every byte is announced, and those at once that are there."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._wake_at(1)

    def _look(self) -> None:
        if self._loop.time() < self._until:  # something has come since
            self._timer = self._loop.call_at(self._until, self._look)
        else:
            self.stop()

    def _wake_at(self, size: int) -> None:
        if self._socket is not None:
            with suppress(OSError):  # it is closed, or of a kind that does not know this
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
