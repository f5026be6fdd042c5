"""A body that comes without a pause: written in one thread, hashed in another one where there is one."""

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from pyregistry.oci.digest import new_hash
from pyregistry.oci.errors import BlobTooLarge
from pyregistry.storage import direct_read
from pyregistry.storage.direct_read import ENOUGH_BYTES, copy_direct
from pyregistry.storage.memory import MemoryDriver
from pyregistry.storage.uploads import Read
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


async def test_a_thread_does_not_wait_for_who_sends_little() -> None:
    driver = MemoryDriver()
    async with driver.appender(FILE, wait=0, create=True) as appender:
        assert not await copy_direct(_reading([b"little"] * 3), appender, None, lambda _: None)
    assert driver.read(FILE) == b"little"
