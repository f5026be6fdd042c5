"""Threads that come with work and end without, and walks that take turns."""

import asyncio
import contextvars
import gc
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from pyregistry.threads.fair_scheduler import BEGUN, SLICE_SECONDS, FairScheduler, Walk, at_once
from pyregistry.threads.offload import in_thread, walk
from pyregistry.threads.pools import Pool
from pyregistry.threads.wait_budget import IS_GONE

PATIENCE = 20.0
"""Seconds until a test gives up on what must happen."""


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Three threads at most, which end at once when they have nothing to do."""
    made = Pool("test", 3, idle=0.01)
    yield made
    made.shutdown()


def _wait_for(fact: threading.Event) -> None:
    assert fact.wait(PATIENCE)


def test_calls_run_side_by_side_up_to_the_bound_and_the_rest_in_their_order(pool: Pool) -> None:
    go_on, running, ended = threading.Event(), threading.Semaphore(0), list[int]()

    def call(number: int) -> int:
        running.release()
        _wait_for(go_on)
        ended.append(number)
        return number

    calls = [pool.submit(call, number) for number in range(9)]
    for _ in range(3):
        assert running.acquire(timeout=PATIENCE)
    assert not running.acquire(timeout=0.05)
    assert (pool.threads, pool.busy, pool.waiting) == (3, 3, 6)
    go_on.set()
    assert [each.result(PATIENCE) for each in calls] == list(range(9))
    assert pool.waiting == 0
    assert sorted(ended) == list(range(9))


def test_idle_threads_end_and_later_calls_are_carried_out(pool: Pool) -> None:
    for _ in range(20):
        assert [pool.submit(int, "7").result(PATIENCE) for _ in range(5)] == [7] * 5
        _until(lambda: pool.threads == 0)
    assert pool.submit(int, "7").result(PATIENCE) == 7


def test_what_a_call_raises_is_raised_to_who_asked_and_the_thread_lives_on(pool: Pool) -> None:
    failing: Future[int] = pool.submit(int, "seven")
    with pytest.raises(ValueError, match="seven"):
        failing.result(PATIENCE)
    assert pool.submit(int, "7").result(PATIENCE) == 7


def test_a_closed_pool_carries_out_what_it_has_and_keeps_no_thread() -> None:
    pool, go_on = Pool("test", 1, idle=60), threading.Event()
    calls = [pool.submit(_wait_for, go_on) for _ in range(3)]
    pool.shutdown()
    go_on.set()
    for each in calls:
        each.result(PATIENCE)
    _until(lambda: pool.threads == 0)


async def test_a_single_walk_is_behind_one_slice_of_another_caller_and_not_behind_twelve_walks() -> None:
    pool = Pool("test", 1)
    scheduler, steps, go_on = FairScheduler(pool), list[str](), threading.Event()

    def steps_of(caller: str, count: int) -> Walk[str]:
        for _ in range(count):
            yield
            time.sleep(SLICE_SECONDS)  # each step is a slice
            steps.append(caller)
        return caller

    pool.submit(_wait_for, go_on)
    context = contextvars.copy_context()
    greedy = [scheduler.begin("greedy", steps_of("greedy", 10), context.copy(), lambda: False) for _ in range(12)]
    single = scheduler.begin("single", steps_of("single", 5), context.copy(), lambda: False)
    go_on.set()
    assert await asyncio.wrap_future(single) == "single"
    assert [await asyncio.wrap_future(each) for each in greedy] == ["greedy"] * 12
    assert (steps.count("greedy"), steps.count("single")) == (120, 5)
    last = len(steps) - 1 - steps[::-1].index("single")
    assert steps[: last + 1].count("greedy") <= 6
    pool.shutdown()


async def test_a_caller_has_so_many_walks_under_way_and_the_others_begin_when_those_end() -> None:
    pool = Pool("test", 1)
    scheduler, begun = FairScheduler(pool), set[int]()
    release = threading.Event()

    def steps_of(number: int) -> Walk[int]:
        begun.add(number)
        while not release.is_set():
            yield
        return number

    context = contextvars.copy_context()
    walks = [scheduler.begin("a", steps_of(number), context.copy(), lambda: False) for number in range(BEGUN + 4)]
    other = scheduler.begin("b", steps_of(99), context.copy(), lambda: False)
    async with asyncio.timeout(PATIENCE):
        while not {*range(BEGUN), 99} <= begun:
            await asyncio.sleep(0.01)
    assert begun == {*range(BEGUN), 99}
    release.set()
    assert [await asyncio.wrap_future(each) for each in walks] == list(range(BEGUN + 4))
    assert await asyncio.wrap_future(other) == 99
    pool.shutdown()


async def test_a_walk_ends_when_its_client_has_left() -> None:
    closed, left = threading.Event(), threading.Event()

    def endless() -> Walk[None]:
        try:
            while True:
                yield
        finally:
            closed.set()

    IS_GONE.set(left.is_set)
    walking = asyncio.create_task(walk("a", endless()))
    await asyncio.sleep(0.05)
    assert not walking.done()
    left.set()
    with pytest.raises(ConnectionAbortedError):
        await walking
    assert closed.is_set()


async def test_what_a_walk_raises_is_raised_to_who_asked() -> None:
    def failing() -> Walk[None]:
        yield
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await walk("a", failing())
    assert await walk("a", _number()) == 7


def _number() -> Walk[int]:
    yield
    return 7


async def test_a_cancelled_call_is_awaited_to_its_end() -> None:
    go_on, begun, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        _wait_for(go_on)
        ended.set()

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(_wait_for, begun)
    task.cancel()
    await asyncio.sleep(0.05)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


def _until(fact: object) -> None:
    assert callable(fact)
    end = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("walks", [False, True])
async def test_an_error_after_the_cancellation_is_not_logged(caplog: pytest.LogCaptureFixture, walks: bool) -> None:
    """A service that ends, and a client that disconnects, cancel the request; its thread may fail later."""
    runs, go_on = threading.Event(), threading.Event()

    def fail() -> None:
        runs.set()
        _wait_for(go_on)
        raise ConnectionAbortedError

    task = asyncio.create_task(walk("caller", at_once(fail)) if walks else in_thread(fail))
    await asyncio.to_thread(_wait_for, runs)
    task.cancel()
    await asyncio.sleep(0)  # now it waits for the end of the thread
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    gc.collect()  # asyncio logs an exception that was never seen when it is freed
    assert caplog.records == []
