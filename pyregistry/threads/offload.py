"""Blocking work leaves the event loop, and a cancelled request does not overtake it.

Work that may write, flush or wait for a lock goes to `in_thread`, which is right for everything short; what only reads
goes to `in_reader`, long walks to `walk`. docs/decisions/0026 has the table.
"""

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import ParamSpec, TypeVar

from pyregistry.threads.patience import IS_GONE, MustWait, begin_patience, read_only
from pyregistry.threads.pools import rooms
from pyregistry.threads.turns import Walk

P = ParamSpec("P")
T = TypeVar("T")


async def finish(work: Awaitable[T], abandon: Callable[[], None] = lambda: None) -> T:
    """Await `work` to its end even if the caller is cancelled, then raise the cancellation.

    A thread cannot be stopped: whoever went on without it would close the file that it writes to, or give back the
    lock that it relies on. `abandon` is called at the cancellation: it may let the work end sooner.
    """
    future = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        abandon()
        await asyncio.wait({future})
        raise


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a blocking function to its end in the room for writes; its log lines know of which request they are.

    For a request its locks are waited for up to LOCK_SECONDS, then it raises Unavailable.
    """
    context = contextvars.copy_context()
    patience = context.run(begin_patience)
    submitted = time.monotonic()

    def call() -> T:
        if patience is not None:
            patience.spend(time.monotonic() - submitted)
        return context.run(function, *args, **kwargs)

    def abandon() -> None:
        if patience is not None:
            patience.is_abandoned = True

    return await finish(asyncio.get_running_loop().run_in_executor(rooms().writes, call), abandon)


async def in_reader(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a blocking function that only reads in the room for reads.

    A function that comes to a lock there is called once more, in the room for writes.
    """
    context = contextvars.copy_context()
    context.run(read_only)
    call = partial(context.run, function, *args, **kwargs)
    try:
        return await finish(asyncio.get_running_loop().run_in_executor(rooms().reads, call))
    except MustWait:
        return await in_thread(function, *args, **kwargs)


async def walk(caller: str, steps: Walk[T]) -> T:
    """Walk in slices, in turn with the walks of other callers. It takes no lock: that would raise MustWait."""
    context = contextvars.copy_context()
    context.run(read_only)
    is_gone = IS_GONE.get()
    is_abandoned = False

    def is_over() -> bool:
        return is_abandoned or (is_gone is not None and is_gone())

    def abandon() -> None:
        nonlocal is_abandoned
        is_abandoned = True

    return await finish(asyncio.wrap_future(rooms().walks.begin(caller, steps, context, is_over)), abandon)
