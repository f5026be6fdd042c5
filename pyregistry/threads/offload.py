"""Runs blocking work off the event loop, and waits for its end even if the request is cancelled.

Work that may write, flush or wait for a lock goes to `in_thread`, which is right for everything short. Work that only
reads goes to `in_reader`, long walks to `walk`. docs/decisions/0026 has the table.
"""

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import ParamSpec, TypeVar

from pyregistry.threads.fair_scheduler import Walk
from pyregistry.threads.pools import pools
from pyregistry.threads.wait_budget import IS_GONE, MustWait, begin_wait_budget, read_only

P = ParamSpec("P")
T = TypeVar("T")


async def finish(work: Awaitable[T], abandon: Callable[[], None] = lambda: None) -> T:
    """Await the end of `work` even if the caller is cancelled, then raise the cancellation.

    A thread cannot be stopped. A caller that did not wait would close the file that it writes to, or release its lock.
    `abandon` is called at the cancellation: it may let the work end sooner.
    """
    future = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        abandon()
        await asyncio.wait({future})
        if not future.cancelled():
            future.exception()  # marks it as seen; else asyncio logs it
        raise


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a blocking function in the pool for writes; its log lines have the request's id.

    For a request it waits for locks up to LOCK_SECONDS, then raises Unavailable.
    """
    context = contextvars.copy_context()
    budget = context.run(begin_wait_budget)
    submitted = time.monotonic()

    def call() -> T:
        if budget is not None:
            budget.spend(time.monotonic() - submitted)
        return context.run(function, *args, **kwargs)

    def abandon() -> None:
        if budget is not None:
            budget.is_abandoned = True

    return await finish(asyncio.get_running_loop().run_in_executor(pools().writes, call), abandon)


async def in_reader(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a blocking function that only reads in the pool for reads.

    If it needs a lock, it is called again in the pool for writes.
    """
    context = contextvars.copy_context()
    context.run(read_only)
    call = partial(context.run, function, *args, **kwargs)
    try:
        return await finish(asyncio.get_running_loop().run_in_executor(pools().reads, call))
    except MustWait:
        return await in_thread(function, *args, **kwargs)


async def walk(caller: str, steps: Walk[T]) -> T:
    """Walk in slices, in turn with the walks of other callers. A lock in a walk raises MustWait."""
    context = contextvars.copy_context()
    context.run(read_only)
    is_gone = IS_GONE.get()
    is_abandoned = False

    def is_over() -> bool:
        return is_abandoned or (is_gone is not None and is_gone())

    def abandon() -> None:
        nonlocal is_abandoned
        is_abandoned = True

    return await finish(asyncio.wrap_future(pools().walks.begin(caller, steps, context, is_over)), abandon)
