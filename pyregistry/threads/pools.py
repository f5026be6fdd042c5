"""The thread pools of a worker, one for each reason to block. docs/decisions/0026 has the table."""

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

from pyregistry.common.overriding import override
from pyregistry.threads.fair_scheduler import FairScheduler

P = ParamSpec("P")
T = TypeVar("T")

READERS = 8
"""Threads that only read. Each needs the interpreter or the disk, and waits for nothing else."""
WRITERS = 128
"""Threads that may wait for a flush or a lock. Most of them sleep: one for each push that is being committed."""
FLOWS = (os.cpu_count() or 1) + 4
"""Threads that carry large bodies. Each has a buffer of a MiB, and is released after a slice of 20 ms."""
WALKERS = 1
"""Threads that walk. A second one would compete for the interpreter with the event loop, and not walk faster."""
IDLE_SECONDS = 300.0
"""Seconds after which an idle thread ends: it costs some 30 KiB, and its end a few calls."""


class Pool(Executor):
    """Threads that start on demand, up to a bound, and end after they have been idle."""

    def __init__(self, name: str, max_threads: int, *, idle: float = IDLE_SECONDS) -> None:
        self._name = name
        self._idle = idle
        self.max_threads = max_threads
        self._mutex = threading.Lock()
        self._queue = SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]()
        self.threads = 0
        self._free = 0
        """Idle threads without a call in the queue."""
        self._behind = 0
        """Queued calls that wait for a thread."""
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """Calls that wait for a thread, since no more can be started."""
        return self._behind

    @property
    def busy(self) -> int:
        """Threads that run a call."""
        return self.threads - self._free

    @override
    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        future: Future[T] = Future()
        start = False
        with self._mutex:
            if self._free:
                self._free -= 1
            elif self.threads < self.max_threads:
                self.threads += 1
                start = True
            else:
                self._behind += 1
            self._queue.put((future, partial(function, *args, **kwargs)))
        if start:
            try:
                self._start()
            except RuntimeError:
                future.cancel()  # it is in the queue, and its caller gets an error
                raise
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the threads end when the queue is empty, without waiting for them."""
        with self._mutex:
            self._is_closed = True
            free, self._free = self._free, 0
            for _ in range(free):  # once woken, they see that the pool is closed
                self._queue.put((Future(), lambda: None))

    def abandon(self) -> None:
        """Let the threads of an unreferenced pool end. Takes no lock: Python's garbage collector may call it."""
        self._queue.put(None)

    def _start(self) -> None:
        try:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        except RuntimeError:  # the system refuses another thread: a running one has to make the call
            with self._mutex:
                self.threads -= 1
                self._behind += 1
                if not self.threads:
                    raise

    def _work(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=self._idle)
            except Empty:
                if self._may_end():
                    return
                continue
            if item is None:
                self._queue.put(None)  # for the others
                return
            _carry_out(*item)
            del item  # it holds the call's result
            if not self._continues():
                return

    def _may_end(self) -> bool:
        with self._mutex:
            if not self._free:  # a call for this thread is about to be queued
                return False
            self._free -= 1
            self.threads -= 1
            return True

    def _continues(self) -> bool:
        with self._mutex:
            if self._behind:
                self._behind -= 1
            elif self._is_closed:
                self.threads -= 1
                return False
            else:
                self._free += 1
            return True


def _carry_out(future: "Future[Any]", call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # awaiting the future raises it
        future.set_exception(error)
    else:
        future.set_result(result)


class Pools:
    """The pools of one event loop."""

    def __init__(self) -> None:
        self.reads = Pool("read", READERS)
        self.writes = Pool("write", WRITERS)
        self.flows = Pool("flow", FLOWS)
        self.walking = Pool("walk", WALKERS)
        self.walks = FairScheduler(self.walking)
        self.all = (self.reads, self.writes, self.flows, self.walking)
        self.by_name = {"reads": self.reads, "writes": self.writes, "flows": self.flows, "walks": self.walking}
        """The pools by their names in docs/decisions/0026."""

    def close(self) -> None:
        """Let all threads end."""
        for pool in self.all:
            pool.shutdown()


_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Pools] = weakref.WeakKeyDictionary()


def pools() -> Pools:
    """Return the pools of the running loop, made at the first call."""
    loop = asyncio.get_running_loop()
    found = _pools.get(loop)
    if found is None:
        found = _pools[loop] = Pools()
        for pool in found.all:  # a loop that ends without an application
            weakref.finalize(loop, pool.abandon).atexit = False
    return found


async def closing_pools(_: object) -> AsyncIterator[None]:
    """End the threads with the application; for Application.cleanup_ctx."""
    yield
    found = _pools.pop(asyncio.get_running_loop(), None)
    if found is not None:
        found.close()
