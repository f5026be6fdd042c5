"""Locks with a bound: a request waits for a while, a reader never, and neither starves a collector."""

import contextvars
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pyregistry.oci.errors import Unavailable
from pyregistry.storage.local import leases
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.threads import wait_budget as waiting
from pyregistry.threads.offload import in_reader, in_thread
from pyregistry.threads.wait_budget import IS_GONE, MustWait, begin_wait_budget, limit_waits, read_only
from tests.processes import SOURCE_TREE
from tests.storage.contract_locks import PATIENCE, held_elsewhere

SHORT = 0.05


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path opens files of its own


def _in_context(function: Callable[[], None]) -> None:
    contextvars.copy_context().run(function)


def _take(driver: Driver, name: str = "a", *, exclusive: bool = True) -> None:
    with driver.lock(name, exclusive=exclusive):
        pass


@pytest.mark.parametrize(("held", "wanted"), [(True, True), (True, False), (False, True)])
def test_a_bounded_wait_ends_with_503_and_leaves_nothing_behind(driver: Driver, held: bool, wanted: bool) -> None:
    files = _open_files()

    def want() -> None:
        limit_waits(SHORT)
        with pytest.raises(Unavailable) as failure:
            _take(driver, exclusive=wanted)
        assert failure.value.headers == waiting.RETRY

    with held_elsewhere(driver, "a", exclusive=held):
        for _ in range(5):
            _in_context(want)
    _take(driver, exclusive=wanted)
    end = time.monotonic() + PATIENCE
    while _open_files() > files:  # the thread gives back what came too late
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_bounded_wait_takes_the_lock_when_it_is_free(driver: Driver) -> None:
    taken: list[int] = []

    def want(number: int) -> None:
        limit_waits(PATIENCE)
        with driver.lock("a", exclusive=True):
            taken.append(number)

    threads = [threading.Thread(target=want, args=(number,)) for number in range(8)]
    with held_elsewhere(driver, "a", exclusive=True):
        for thread in threads:
            thread.start()
        time.sleep(SHORT)
        assert taken == []
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(taken) == list(range(8))


def test_a_reader_takes_no_lock_even_if_it_is_free(driver: Driver) -> None:
    def want() -> None:
        read_only()
        with pytest.raises(MustWait):
            _take(driver)

    _in_context(want)


async def test_a_reader_that_comes_to_a_lock_is_called_again_as_a_writer(driver: Driver) -> None:
    calls = []

    def work() -> str:
        calls.append(threading.current_thread().name)
        _take(driver)
        return "done"

    assert await in_reader(work) == "done"
    assert calls == ["read", "write"]


async def test_a_request_waits_for_its_seconds_and_without_one_there_is_no_bound(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LOCK_SECONDS", SHORT)
    IS_GONE.set(lambda: False)
    with held_elsewhere(driver, "a", exclusive=True), pytest.raises(Unavailable):
        await in_thread(_take, driver)
    IS_GONE.set(None)
    assert contextvars.copy_context().run(begin_wait_budget) is None


async def test_a_request_without_a_client_stops_waiting(driver: Driver) -> None:
    IS_GONE.set(lambda: True)
    with held_elsewhere(driver, "a", exclusive=True), pytest.raises(ConnectionAbortedError):
        await in_thread(_take, driver)


def test_neither_a_collector_nor_writers_with_a_bound_starve_the_others(
    filesystem: FilesystemDriver,
) -> None:
    """In two processes, as flock gives a lock to the first that comes; each gets on while the other never rests."""
    program = """
import sys, time
from pathlib import Path
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.local.leases import exclusive_section
driver = FilesystemDriver(Path(sys.argv[1]))
for number in range(100):
    with exclusive_section(driver):
        print(number, flush=True)
        time.sleep(0.01)
    time.sleep(0.0001)
"""
    sections = [0] * 8
    stop = threading.Event()

    def write(place: int) -> None:
        limit_waits(60)
        while not stop.is_set():
            with leases.commit_section(filesystem):
                sections[place] += 1

    threads = [threading.Thread(target=write, args=(place,)) for place in range(len(sections))]
    for thread in threads:
        thread.start()
    command = [sys.executable, "-c", program, str(filesystem.root)]
    try:
        collector = subprocess.run(command, cwd=SOURCE_TREE, capture_output=True, text=True, timeout=60, check=True)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert collector.stdout.split()[-1] == "99"
    assert min(sections) > 10, sections


def test_the_lock_of_a_waiter_that_gave_up_goes_to_the_next(root: Path) -> None:
    driver = FilesystemDriver(root)
    outcomes: list[str] = []

    def want(seconds: float) -> None:
        limit_waits(seconds)
        try:
            _take(driver)
            outcomes.append("taken")
        except Unavailable:
            outcomes.append("given up")

    with held_elsewhere(driver, "a", exclusive=True):
        threads = [threading.Thread(target=want, args=(seconds,)) for seconds in (SHORT, PATIENCE, SHORT, PATIENCE)]
        for thread in threads:
            thread.start()
        threads[0].join(PATIENCE)
        threads[2].join(PATIENCE)
        assert outcomes == ["given up"] * 2
    for thread in threads:
        thread.join(PATIENCE)
    assert outcomes == ["given up"] * 2 + ["taken"] * 2
