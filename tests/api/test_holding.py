"""Bytes that requests hold in memory: above the bound the largest stalled one gives way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from pyregistry.api.http.holding import FREE, Holding, Holdings
from pyregistry.oci.errors import Unavailable

_MOST = 100 * FREE


class Requests:
    """Requests that wait for their clients, and what became of them."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._holdings = Holdings("too much", _MOST)
        self.gave_way: list[Holding] = []

    async def begin(self, size: int, *, stalled: bool = False) -> tuple[Holding, "asyncio.Task[None]"]:
        """Begin one that holds `size` bytes; `stalled` makes it one that has stalled for long."""
        holding = self._stack.enter_context(self._holdings.hold())
        task = asyncio.create_task(self._wait(holding))
        await asyncio.sleep(0)
        holding.add(size)
        if stalled:
            holding.moved_at -= 60
        return holding, task

    async def _wait(self, holding: Holding) -> None:
        try:
            async with holding.may_give_way():
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            self.gave_way.append(holding)


@pytest.fixture
async def requests() -> AsyncIterator[Requests]:
    with ExitStack() as stack:
        yield Requests(stack)


async def test_the_largest_that_stalls_gives_way_and_not_a_larger_one_that_moves(requests: Requests) -> None:
    await requests.begin(50 * FREE)
    await requests.begin(20 * FREE, stalled=True)
    largest, ended = await requests.begin(30 * FREE, stalled=True)
    await requests.begin(30 * FREE)
    await ended
    assert requests.gave_way == [largest]
    with pytest.raises(Unavailable):
        largest.add(1)


async def test_where_none_stalls_the_largest_gives_way(requests: Requests) -> None:
    largest, ended = await requests.begin(60 * FREE)
    await requests.begin(40 * FREE)
    await requests.begin(30 * FREE)
    await ended
    assert requests.gave_way == [largest]


async def test_the_one_that_grows_is_refused_if_it_is_the_largest(requests: Requests) -> None:
    await requests.begin(50 * FREE)
    with pytest.raises(Unavailable) as refused:
        await requests.begin(51 * FREE)
    assert refused.value.headers["Retry-After"]
    assert requests.gave_way == []
    await requests.begin(50 * FREE)  # what was refused does not count


async def test_what_has_come_as_a_whole_does_not_give_way(requests: Requests) -> None:
    whole, _ = await requests.begin(_MOST, stalled=True)
    whole.keep()
    with pytest.raises(Unavailable):
        await requests.begin(FREE + 1)
    await requests.begin(FREE)  # small ones go on


async def test_a_few_bytes_now_and_then_are_no_progress(requests: Requests) -> None:
    slow, ended = await requests.begin(40 * FREE, stalled=True)
    for _ in range(100):
        slow.add(1)
    await requests.begin(50 * FREE)
    await requests.begin(20 * FREE)
    await ended
    assert requests.gave_way == [slow]
