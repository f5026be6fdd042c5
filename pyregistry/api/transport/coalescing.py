"""Coalesces the small reads of a slow upload in the kernel, with SO_RCVLOWAT."""

import asyncio
import socket
from contextlib import suppress

COALESCE_BYTES = 256 * 1024
"""Bytes that asyncio reads at once."""
COALESCE_SECONDS = 0.01
"""Seconds for which bytes may wait, and so the delay with which the end of a body is seen."""
BEGIN_SECONDS = 0.2
"""Seconds for which a body must have been arriving: then the delay is a small part of its time."""


class ReadCoalescer:
    """Wakes the event loop only when 256 KiB are readable.

    `docker push` compresses while it sends. Each 32 KiB, every few milliseconds, would wake the event loop, the parser
    and the handler. The kernel also wakes the loop when its buffer is full and when the connection ends. It does not
    know where a body ends, so a timer reads what is left.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.BaseTransport | None) -> None:
        self._loop = loop
        self._socket: socket.socket | None = None if transport is None else transport.get_extra_info("socket")
        self._begin = loop.time() + BEGIN_SECONDS
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def received(self) -> None:
        """Note that a piece of the body has arrived."""
        now = self._loop.time()
        if now < self._begin:
            return
        self._until = now + COALESCE_SECONDS
        if self._timer is None:
            self._wake_at(COALESCE_BYTES)
            self._timer = self._loop.call_at(self._until, self._look)

    def stop(self) -> None:
        """Wake the event loop for every byte again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._wake_at(1)

    def _look(self) -> None:
        if self._loop.time() < self._until:  # more has arrived since
            self._timer = self._loop.call_at(self._until, self._look)
        else:
            self.stop()

    def _wake_at(self, size: int) -> None:
        if self._socket is not None:
            with suppress(OSError):  # it is closed, or its kind lacks this option
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)
