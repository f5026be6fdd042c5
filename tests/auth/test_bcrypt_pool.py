"""Waiting for bcrypt, and its order."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from pyregistry.auth.bcrypt_pool import NICER_BY, WAITING, WAITING_PER_ADDRESS, BcryptPool, PasswordCheck, PoolFull
from pyregistry.auth.hashes import dummy_hash

pytestmark = pytest.mark.usefixtures("patient_pool")

SLOW = PasswordCheck(b"wrong", dummy_hash(10))
QUICK = PasswordCheck(b"wrong", dummy_hash(4))


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
    for future in futures:
        await future
    futures = [pool.submit(SLOW, "0"), *(pool.submit(QUICK, f"other {number}") for number in range(WAITING))]
    with pytest.raises(PoolFull):
        await pool.submit(QUICK, "new")
    assert await asyncio.gather(*futures) == [False] * len(futures)
    assert not await pool.submit(QUICK, "new")


@pytest.mark.parametrize("addresses", [8, 10, 40])
async def test_a_full_queue_admits_a_newcomer_and_drops_the_last_of_the_longest(
    pool: BcryptPool, addresses: int
) -> None:
    """The queue of each address is as long as it may be, or as the shared bound lets it grow."""
    running = pool.submit(SLOW, "running")
    flood: dict[str, list[asyncio.Future[bool]]] = {f"flood {number}": [] for number in range(addresses)}
    for _ in range(WAITING_PER_ADDRESS):
        for address, queue in flood.items():
            with suppress(PoolFull):
                queue.append(pool.submit(QUICK, address))
    newcomer = pool.submit(QUICK, "newcomer")
    assert (await running, await newcomer) == (False, False)
    results = await asyncio.gather(*(future for queue in flood.values() for future in queue), return_exceptions=True)
    assert sum(result is False for result in results) == WAITING - 1
    refused = [queue for queue in flood.values() if any(future.exception() is not None for future in queue)]
    for queue in refused:
        answers = [future.exception() is None for future in queue]
        assert answers == sorted(answers, reverse=True), "the first of a queue stay"


async def test_a_newcomer_with_as_many_as_the_others_is_refused(pool: BcryptPool) -> None:
    """To drop one for it would only exchange the one that is refused."""
    futures = [pool.submit(SLOW, "running"), *(pool.submit(QUICK, f"{number % 32}") for number in range(WAITING))]
    futures += [pool.submit(QUICK, "new") for _ in range(WAITING // 32 - 1)]
    with pytest.raises(PoolFull):
        await pool.submit(QUICK, "new")
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert sum(isinstance(result, PoolFull) for result in results) == WAITING // 32 - 1


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


async def test_bcrypt_has_a_thread_that_is_nicer_than_the_event_loop(
    pool: BcryptPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyregistry.auth.bcrypt_pool.NICER_BY", NICER_BY)
    await pool.submit(QUICK, "0")
    nice = {int(task.joinpath("stat").read_text().rpartition(")")[2].split()[16]) for task in _tasks()}
    own = os.nice(0)
    assert {own, min(own + NICER_BY, 19)} <= nice  # 19 is the kernel's highest


def _tasks() -> list[Path]:
    return list(Path("/proc/self/task").iterdir())
