"""bcrypt, kept where it can neither hold up requests nor other users' logins.

Each worker has one thread for it, and the workers of one service share turns: as many hashes run at once as there
are pairs of processors, so that a flood of passwords takes one core of two. The thread is also nicer than the event
loops. Who waits is served by turns of addresses: one that sends a flood waits for itself.
"""

import asyncio
import fcntl
import os
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from pyregistry.auth.hashes import matches

WAITING = 256
WAITING_PER_ADDRESS = 32
WAIT_SECONDS = 10.0
"""Who sent a password may be gone by then; and a shutdown waits for those who wait."""
NICER_BY = 10
"""With all processors busy, an event loop gets nine times as much of one as a hash does."""


class PoolFull(Exception):
    """Too many checks wait already, or this one waited for too long."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    check: "PasswordCheck"
    result: "asyncio.Future[bool]"
    until: float


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """One password to be compared with one stored hash."""

    password: bytes
    stored: bytes
    top_up: tuple[bytes, ...] = ()
    """Hashes to be computed after a wrong password, so that it costs as much as one for the dearest user."""

    def run(self) -> bool:
        """Blocks, for up to a second of processor time."""
        right = matches(self.password, self.stored)
        if not right:
            for dummy in self.top_up:
                matches(self.password, dummy)
        return right


class Turns:
    """How many hashes the processes that were forked from this one may compute at the same time.

    Record locks on a file that only lives in memory: the kernel gives back what a killed process held.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or max(1, len(os.sched_getaffinity(0)) // 2)
        self._handle = os.memfd_create("pyregistry-bcrypt")
        self.close = weakref.finalize(self, os.close, self._handle)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one. Blocks. For one thread of a process at a time: the locks are the process's."""
        place = os.getpid() % self.count
        fcntl.lockf(self._handle, fcntl.LOCK_EX, 1, place)
        try:
            yield
        finally:
            fcntl.lockf(self._handle, fcntl.LOCK_UN, 1, place)


class BcryptPool:
    """One thread, and those who wait for it, in turns by address. Made before the fork, used after it."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bcrypt", initializer=_be_nice)
        self._waiting: OrderedDict[str, deque[_Waiting]] = OrderedDict()
        self._running = False

    @property
    def waiting(self) -> int:
        """Checks that have no turn yet."""
        return sum(map(len, self._waiting.values()))

    def submit(self, check: PasswordCheck, address: str) -> "asyncio.Future[bool]":
        """Whether the password is right, when its turn has come. Raises PoolFull, and so does the result."""
        of_address = self._waiting.get(address, ())
        if len(of_address) >= WAITING_PER_ADDRESS:
            raise PoolFull
        if self.waiting >= WAITING:
            self._make_room(len(of_address))
        loop = asyncio.get_running_loop()
        result: asyncio.Future[bool] = loop.create_future()
        waiting = _Waiting(check, result, loop.time() + WAIT_SECONDS)
        self._waiting.setdefault(address, deque()).append(waiting)
        if not self._running:
            self._run_next()
        return result

    def close(self) -> None:
        """Stop the thread; the hash that it computes is computed to its end, and nobody else gets a turn."""
        for of_address in self._waiting.values():
            for waiting in of_address:
                waiting.result.cancel()
        self._waiting.clear()
        self._thread.submit(self._turns.close)
        self._thread.shutdown(wait=False)

    def _make_room(self, own: int) -> None:
        """Drop the last of the longest queue for an address that has `own` waiting; raise PoolFull instead of a swap.

        A few addresses could otherwise fill the room that all share, and so refuse every other login.
        """
        longest = max(self._waiting.values(), key=len)
        if len(longest) <= own + 1:
            raise PoolFull
        dropped = longest.pop().result
        if not dropped.done():
            dropped.set_exception(PoolFull())

    def _run_next(self) -> None:
        loop = asyncio.get_running_loop()
        self._running = False
        while self._waiting:
            address, of_address = self._waiting.popitem(last=False)
            waiting = of_address.popleft()
            if of_address:
                self._waiting[address] = of_address  # behind the others
            if waiting.until > loop.time():
                self._running = True
                running = loop.run_in_executor(self._thread, self._in_turn, waiting.check)
                running.add_done_callback(partial(self._finish, waiting.result))
                return
            if not waiting.result.done():
                waiting.result.set_exception(PoolFull())

    def _finish(self, result: "asyncio.Future[bool]", done: "asyncio.Future[bool]") -> None:
        if not result.done():
            if error := done.exception():
                result.set_exception(error)
            else:
                result.set_result(done.result())
        self._run_next()

    def _in_turn(self, check: PasswordCheck) -> bool:
        with self._turns.turn():
            return check.run()


def _be_nice() -> None:
    # Linux counts niceness by thread; 19 is the highest.
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICER_BY))
