"""How blocking work leaves the event loop, and how a cancelled request does not overtake it."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def finish(work: Awaitable[T]) -> T:
    """Await `work` to its end even if the caller is cancelled, then raise the cancellation.

    A thread cannot be stopped: whoever went on without it would close the file that it writes to, or give back the
    lock that it relies on.
    """
    future = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait({future})
        raise


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a blocking function in the loop's thread pool, to its end; its log lines know of which request they are."""
    call = partial(contextvars.copy_context().run, function, *args, **kwargs)
    return await finish(asyncio.get_running_loop().run_in_executor(None, call))
