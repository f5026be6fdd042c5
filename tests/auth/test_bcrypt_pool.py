"""Who waits for bcrypt, and for whom."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pyregistry.auth.bcrypt_pool import WAITING, WAITING_PER_ADDRESS, BcryptPool, Check, PoolFull, dummy_hash

SLOW = Check(b"wrong", dummy_hash(10))
QUICK = Check(b"wrong", dummy_hash(4))


@pytest.fixture
async def pool() -> AsyncIterator[BcryptPool]:
    made = BcryptPool()
    yield made
    made.close()


async def test_an_address_with_many_checks_waits_for_itself(pool: BcryptPool) -> None:
    order: list[str] = []

    def submit(address: str) -> "asyncio.Future[bool]":
        future = pool.submit(QUICK, address)
        future.add_done_callback(lambda _: order.append(address))
        return future

    futures = [submit("flood") for _ in range(20)]
    futures += [submit("one"), submit("two"), submit("one")]
    await asyncio.gather(*futures)
    assert order[:6] == ["flood", "flood", "one", "two", "flood", "one"]


async def test_the_queue_of_an_address_and_of_all_is_bounded(pool: BcryptPool) -> None:
    futures = [pool.submit(SLOW, "0")]  # runs
    futures += [pool.submit(QUICK, "0") for _ in range(WAITING_PER_ADDRESS)]
    with pytest.raises(PoolFull):
        await pool.submit(QUICK, "0")
    for number in range(WAITING - WAITING_PER_ADDRESS):
        futures.append(pool.submit(QUICK, f"other {number}"))
    with pytest.raises(PoolFull):
        await pool.submit(QUICK, "new")
    assert await asyncio.gather(*futures) == [False] * len(futures)
    assert not await pool.submit(QUICK, "new")


async def test_who_waits_for_too_long_is_told_so(pool: BcryptPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyregistry.auth.bcrypt_pool.WAIT_SECONDS", 0.02)
    futures = [pool.submit(SLOW, "0") for _ in range(3)]
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results] == [bool, PoolFull, PoolFull]
    assert not await pool.submit(QUICK, "0")


async def test_who_waits_at_the_end_is_let_go() -> None:
    pool = BcryptPool()
    futures = [pool.submit(SLOW, "0") for _ in range(3)]
    pool.close()
    assert not await futures[0]
    assert [future.cancelled() for future in futures[1:]] == [True, True]


async def test_bcrypt_has_a_thread_that_is_nicer_than_the_event_loop(pool: BcryptPool) -> None:
    await pool.submit(QUICK, "0")
    nice = {int(task.joinpath("stat").read_text().rpartition(")")[2].split()[16]) for task in _tasks()}
    assert os.nice(0) in nice
    assert os.nice(0) + 10 in nice


def _tasks() -> list[Path]:
    return list(Path("/proc/self/task").iterdir())
