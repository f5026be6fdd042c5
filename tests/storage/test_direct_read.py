"""A body that comes without a pause: written in one thread, hashed in another one where there is one."""

import asyncio
import hashlib
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from pyregistry.oci.digest import new_hash
from pyregistry.oci.errors import BlobTooLarge
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams.uploads import Read
from pyregistry.storage.uploads import direct_read
from pyregistry.storage.uploads.direct_read import ENOUGH_BYTES, copy_direct
from tests.storage.paths import at

FILE = at("a", "data")
PIECES = [bytes([number]) * (2 * ENOUGH_BYTES) for number in range(100)]


def _reading(pieces: list[bytes]) -> Read:
    """As from a socket."""
    left = iter(pieces)

    def read(buffer: memoryview) -> list[memoryview]:
        piece = next(left, b"")
        buffer[: len(piece)] = piece
        return [buffer[: len(piece)]] if piece else []

    return read


async def _poured(pieces: list[bytes], driver: MemoryDriver, name: str) -> str:
    running = new_hash("sha256")
    read = _reading(pieces)
    async with driver.appender(at(name, "data"), wait=0, create=True) as appender:
        while await copy_direct(read, appender, running, lambda _: None):
            pass
    return running.hexdigest()


@pytest.mark.parametrize("threads", [1, 2, 5])
async def test_more_bodies_at_once_than_threads_are_written_and_hashed(threads: int) -> None:
    driver = MemoryDriver()
    expected = b"".join(PIECES)
    with ThreadPoolExecutor(threads) as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        async with asyncio.timeout(30):
            digests = await asyncio.gather(*(_poured(PIECES, driver, f"a{number}") for number in range(8)))
    assert set(digests) == {hashlib.sha256(expected).hexdigest()}
    for number in range(8):
        assert driver.read(at(f"a{number}", "data")) == expected


async def test_what_is_refused_is_neither_written_nor_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_read, "SLICE_SECONDS", 60.0)  # on a busy machine a slice may end before the refusal
    driver, running = MemoryDriver(), new_hash("sha256")

    def admit(size: int) -> None:
        if size > 5 * ENOUGH_BYTES:
            raise BlobTooLarge

    async with driver.appender(FILE, wait=0, create=True) as appender:
        with pytest.raises(BlobTooLarge):
            await copy_direct(_reading(PIECES), appender, running, admit)
    written = driver.read(FILE)
    assert len(written) == 4 * ENOUGH_BYTES
    assert running.hexdigest() == hashlib.sha256(written).hexdigest()


class WatchedLock:
    """A lock that tells before each acquisition and after each release how many there were."""

    def __init__(self, acquires: Callable[[int], object], released: Callable[[int], object]) -> None:
        self._lock = threading.Lock()
        self._acquires, self._released = acquires, released
        self._begun, self._ended = itertools.count(1), itertools.count(1)

    def acquire(self) -> None:
        self._acquires(next(self._begun))
        self._lock.acquire()

    def release(self) -> None:
        number = next(self._ended)
        self._lock.release()
        self._released(number)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


async def test_a_part_is_hashed_though_the_other_thread_is_refused_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_read, "SLICE_SECONDS", 60.0)
    monkeypatch.setattr(direct_read, "_PROCESSORS", 2)
    refused = threading.Event()
    reading = WatchedLock(bool, bool)
    # Behind its write the first thread waits until the second one, which was refused, asks for the step of the hash.
    writing = WatchedLock(bool, lambda number: number > 1 or refused.wait(30))
    hashing = WatchedLock(lambda number: refused.set() if number > 1 else None, bool)
    locks = iter([reading, writing, hashing])
    monkeypatch.setattr(direct_read, "threading", SimpleNamespace(Lock=lambda: next(locks)))
    driver, running = MemoryDriver(), new_hash("sha256")

    def admit(size: int) -> None:
        if size > len(PIECES[0]):
            raise BlobTooLarge

    async with driver.appender(FILE, wait=0, create=True) as appender:
        with pytest.raises(BlobTooLarge):
            await copy_direct(_reading(PIECES), appender, running, admit)
    assert refused.is_set()
    assert driver.read(FILE) == PIECES[0]
    assert running.hexdigest() == hashlib.sha256(PIECES[0]).hexdigest()


async def test_a_thread_does_not_wait_for_who_sends_little() -> None:
    driver = MemoryDriver()
    async with driver.appender(FILE, wait=0, create=True) as appender:
        assert not await copy_direct(_reading([b"little"] * 3), appender, None, lambda _: None)
    assert driver.read(FILE) == b"little"
