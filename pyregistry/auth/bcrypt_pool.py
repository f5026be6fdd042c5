"""Runs bcrypt so that it delays neither requests nor other users' logins.

Each worker has one thread for it, and the workers share slots. There is a slot per two processors, so a flood of
passwords takes half of them. The thread also has a lower priority than the event loops. The queue is fair by address:
an address that sends a flood delays only itself.
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
"""Longer waits are useless, as the client may be gone, and they delay a shutdown."""
NICER_BY = 10
"""With all processors busy, an event loop gets nine times the processor time of a hash."""


class PoolFull(Exception):
    """Too many checks are waiting, or this one waited too long."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    check: "PasswordCheck"
    result: "asyncio.Future[bool]"
    until: float


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """A password to compare with a stored hash."""

    password: bytes
    stored: bytes
    padding: tuple[bytes, ...] = ()
    """Hashes to compute after a wrong password, so that it takes as long as the highest cost."""

    def run(self) -> bool:
        """Return True if the password is right. Blocks, for up to a second of processor time."""
        right = matches(self.password, self.stored)
        if not right:
            for dummy in self.padding:
                matches(self.password, dummy)
        return right


class Slots:
    """Limits how many hashes all processes forked from this one compute at the same time.

    Record locks on a file in memory: the kernel releases those of a killed process.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or max(1, len(os.sched_getaffinity(0)) // 2)
        self._handle = os.memfd_create("pyregistry-bcrypt")
        self.close = weakref.finalize(self, os.close, self._handle)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a slot. Blocks. For one thread of a process at a time: the locks belong to the process."""
        slot = os.getpid() % self.count
        fcntl.lockf(self._handle, fcntl.LOCK_EX, 1, slot)
        try:
            yield
        finally:
            fcntl.lockf(self._handle, fcntl.LOCK_UN, 1, slot)


class BcryptPool:
    """One thread and its queue, fair by address. Made before the fork, used after it."""

    def __init__(self) -> None:
        self._slots = Slots()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bcrypt", initializer=_be_nice)
        self._waiting: OrderedDict[str, deque[_Waiting]] = OrderedDict()
        self._running = False

    @property
    def waiting(self) -> int:
        """Checks in the queue."""
        return sum(map(len, self._waiting.values()))

    def submit(self, check: PasswordCheck, address: str) -> "asyncio.Future[bool]":
        """Queue a check; return a future with True if the password is right. Both may raise PoolFull."""
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
        """Stop the thread after the running hash, and cancel the queue."""
        for of_address in self._waiting.values():
            for waiting in of_address:
                waiting.result.cancel()
        self._waiting.clear()
        self._thread.submit(self._slots.close)
        self._thread.shutdown(wait=False)

    def _make_room(self, own: int) -> None:
        """Drop the last check of the longest queue for an address with `own` checks; raise PoolFull if that is unfair.

        Otherwise a few addresses could fill the shared queue and block every other login.
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
                self._waiting[address] = of_address  # to the end of the queue
            if waiting.until > loop.time():
                self._running = True
                running = loop.run_in_executor(self._thread, self._in_slot, waiting.check)
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

    def _in_slot(self, check: PasswordCheck) -> bool:
        with self._slots.slot():
            return check.run()


def _be_nice() -> None:
    # Linux counts niceness by thread; 19 is the highest.
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICER_BY))
