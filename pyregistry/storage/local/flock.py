"""File locks with a bounded wait, which flock does not have.

A collector opens the locks for some microseconds between two batches. A loop of tries would miss that; only a waiter in
the kernel is woken at once. So the first waiter for a lock has a thread that waits in the kernel. The thread serves the
other waiters of this process in their order. If the first waiter gives up, the thread waits on. It then releases the
lock and continues with the next waiter.
"""

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pyregistry.storage.seams.objects import PathBusy
from pyregistry.threads.wait_budget import WaitBudget, wait_budget

_PAUSES = (0.0005, 0.001, 0.002)
"""Seconds before further tries: most locks are held for less time, and a thread costs more."""

Key = tuple[str, int]


class Locks:
    """Waiters of this process for the locks below one root."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._queues: dict[Key, deque[_Waiter]] = {}

    @property
    def waiting(self) -> int:
        """Number of callers that have waited for a lock for some milliseconds."""
        with self._mutex:
            return sum(map(len, self._queues.values()))

    @contextmanager
    def hold(self, path: str, open_file: Callable[[], int], *, exclusive: bool, wait: bool) -> Iterator[None]:
        """Lock the file that `open_file` opens at `path`; as Driver.lock.

        Each holder has a new descriptor with flock. POSIX record locks would vanish as soon as this process closes any
        other descriptor of the file.
        """
        operation = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
        budget = wait_budget() if wait else None
        handle = open_file()
        try:
            if wait and budget is None:
                fcntl.flock(handle, operation)
                is_held = True
            else:
                is_held = _try(handle, operation)
            if budget is None and not is_held:
                raise PathBusy(path)
        except BaseException:
            os.close(handle)
            raise
        if budget is not None and not is_held:
            with budget.waiting():
                handle = self._wait((path, operation), _Waiter(handle, operation), budget)
        try:
            yield
        finally:
            os.close(handle)

    def _wait(self, key: Key, waiter: "_Waiter", budget: WaitBudget) -> int:
        try:
            for pause in _PAUSES:
                time.sleep(min(pause, budget.left()))
                if _try(waiter.handle, waiter.operation):
                    return waiter.handle
            self._enter(key, waiter)
        except BaseException:  # also if no thread can be started
            os.close(waiter.handle)
            raise
        try:
            while not waiter.is_served.wait(budget.left()):
                pass
        except BaseException:
            self._leave(key, waiter)
            raise
        if waiter.failure is not None:
            raise waiter.failure
        return waiter.handle

    def _enter(self, key: Key, waiter: "_Waiter") -> None:
        with self._mutex:
            queue = self._queues.get(key)
            if queue is not None:
                queue.append(waiter)
                return
            queue = deque([waiter])
            # A daemon: it may wait for a process that is stopped, and must not keep this one from ending.
            threading.Thread(target=self._serve, args=(key, queue), name="flock", daemon=True).start()
            self._queues[key] = queue

    def _leave(self, key: Key, waiter: "_Waiter") -> None:
        with self._mutex:
            waiter.is_abandoned = True
            if not waiter.is_served.is_set():
                queue = self._queues[key]
                if waiter is queue[0]:
                    return  # the thread waits with its descriptor, and closes it
                queue.remove(waiter)
        if waiter.failure is None:
            os.close(waiter.handle)

    def _serve(self, key: Key, queue: "deque[_Waiter]") -> None:
        while True:
            waiter = queue[0]
            failure = None
            try:
                if not waiter.is_abandoned:
                    fcntl.flock(waiter.handle, waiter.operation)
            except OSError as error:
                failure = error
            with self._mutex:
                queue.popleft()
                if waiter.is_abandoned or failure is not None:
                    os.close(waiter.handle)
                waiter.failure = failure
                waiter.is_served.set()
                if not queue:
                    del self._queues[key]
                    return


@dataclass(slots=True, eq=False)
class _Waiter:
    """One waiter in the queue; the descriptor of the first one belongs to the thread."""

    handle: int
    operation: int
    is_served: threading.Event = field(default_factory=threading.Event)
    is_abandoned: bool = False
    failure: OSError | None = None


def _try(handle: int, operation: int) -> bool:
    """Take a lock if it is free."""
    try:
        fcntl.flock(handle, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
