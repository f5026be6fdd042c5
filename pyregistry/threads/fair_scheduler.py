"""Long walks over the storage, in slices, in which the callers take turns.

A walk is a generator that pauses between two of its steps. A caller with twelve walks and a caller with one get the
same share of the threads: the single one waits for the running slice, and not for twelve walks.
"""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, Future
from contextvars import Context
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Generic, ParamSpec, TypeVar

from pyregistry.threads.wait_budget import IsGone

P = ParamSpec("P")
T = TypeVar("T")

SLICE_SECONDS = 0.01
"""Seconds of one slice."""
LONG_SECONDS = 0.1
"""Seconds of slices after which a walk rests as long as it walks, for other threads."""
BEGUN = 8
"""Running walks of one caller; each may hold the names of a large directory. Its other walks wait."""

Walk = Generator[None, None, T]
"""Steps with pauses between them; the generator's return value is the result."""
Steps = Iterator[T | None]
"""The finds of a walk; None for a step without one."""


class FairScheduler:
    """The walks of one event loop, on the threads of `pool`."""

    def __init__(self, pool: Executor) -> None:
        self.pool = pool
        self._mutex = Lock()
        self._callers: dict[str, _Caller] = {}
        self._order: dict[str, None] = {}
        """The callers with a walk to continue, the next one first."""

    def begin(self, caller: str, walk: Walk[T], context: Context, is_gone: IsGone) -> "Future[T]":
        """Run a walk in turn with the others; it ends early, with ConnectionAbortedError, if `is_gone`."""
        walking = _Walking(caller, walk, context, is_gone)
        with self._mutex:
            of_caller = self._callers.setdefault(caller, _Caller())
            if of_caller.begun < BEGUN:
                self._admit(of_caller, walking)
            else:
                of_caller.later.append(walking)
        return walking.future

    def _admit(self, of_caller: "_Caller", walking: "_Walking[T]") -> None:
        of_caller.begun += 1
        self._put(of_caller, walking)

    def _put(self, of_caller: "_Caller", walking: "_Walking[T]") -> None:
        of_caller.ready.append(walking)
        self._order.setdefault(walking.caller)
        self.pool.submit(self._run_slice)

    def _run_slice(self) -> None:
        # The pool has as many of these calls as there are ready walks; only now is it known which caller is next.
        with self._mutex:
            name = next(iter(self._order))
            del self._order[name]
            of_caller = self._callers[name]
            walking = of_caller.ready.popleft()
            if of_caller.ready:
                self._order[name] = None
        is_over = walking.walk_slice()
        if not is_over and walking.spent > LONG_SECONDS:
            time.sleep(SLICE_SECONDS)
        with self._mutex:
            if not is_over:
                self._put(of_caller, walking)
                return
            of_caller.begun -= 1
            if of_caller.later:
                self._admit(of_caller, of_caller.later.popleft())
            elif not of_caller.begun:
                del self._callers[name]


@dataclass(slots=True)
class _Caller:
    ready: "deque[_Walking[Any]]" = field(default_factory=deque)
    later: "deque[_Walking[Any]]" = field(default_factory=deque)
    begun: int = 0


class _Walking(Generic[T]):
    """One walk."""

    def __init__(self, caller: str, walk: Walk[T], context: Context, is_gone: IsGone) -> None:
        self.caller = caller
        self.future: Future[T] = Future()
        self.spent = 0.0
        """Seconds of its slices so far."""
        self._walk = walk
        self._context = context
        self._is_gone = is_gone

    def walk_slice(self) -> bool:
        """Walk for one slice; return True at the end of the walk."""
        try:
            return self._context.run(self._walk_on)
        except StopIteration as end:
            self.future.set_result(end.value)
        except BaseException as error:  # awaiting the future raises it
            self.future.set_exception(error)
        return True

    def _walk_on(self) -> bool:
        if self._is_gone():
            self._walk.close()
            raise ConnectionAbortedError("the client is gone")
        begin = now = time.monotonic()
        while now - begin < SLICE_SECONDS:
            next(self._walk)
            now = time.monotonic()
        self.spent += now - begin
        return False


def at_once(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Walk[T]:
    """Make a walk of one step of a function."""
    yield
    return function(*args, **kwargs)


def first(items: Steps[T]) -> Walk[T | None]:
    """Walk to the first find and return it; None without a find."""
    for item in items:
        if item is not None:
            return item
        yield
    return None
