"""Sources offer the same bytes in the same ways, wherever these are."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from pyregistry.fsck.hashing import Verdict, verify
from pyregistry.oci.digest import Digest
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.hashing import hash_source
from pyregistry.storage.seams.sources import BLOCK_BYTES, OpenSource, Remote, Source, opened
from tests.fsck.trees import quarantine_if_damaged
from tests.storage.paths import at
from tests.storage.pushing import push_blob, registry_on, repository
from tests.storage.remote import PIECE, RemoteDriver, forget

CONTENT = bytes(range(256)) * 4100
"""More than one block."""
SIZE = len(CONTENT)


@pytest.fixture(params=["file", "bytes", "remote"])
def source(request: pytest.FixtureRequest, root: Path) -> Source:
    """The same bytes, each in their way."""
    forget()
    kinds: dict[str, Callable[[], Driver]]
    kinds = {"file": lambda: FilesystemDriver(root), "bytes": MemoryDriver, "remote": RemoteDriver}
    driver = kinds[request.param]()
    driver.write(at("a"), CONTENT)
    return driver.source(at("a"))


async def _stream(reading: OpenSource, begin: int, end: int) -> bytes:
    async with aclosing(reading.stream(begin, end)) as blocks:
        return b"".join([block async for block in blocks])


def test_every_reading_of_a_source_has_all_its_bytes(source: Source) -> None:
    assert source.size == SIZE > BLOCK_BYTES
    with opened(source) as reading:
        for once in (False, True, True, False):
            assert b"".join(reading.blocks(once=once)) == CONTENT
        assert reading.size == SIZE
        for whole in (reading.content, reading.file and reading.file.read()):
            assert whole in (None, CONTENT)


@pytest.mark.parametrize(("begin", "end"), [(0, SIZE), (0, 1), (SIZE - 1, SIZE), (5, 2 * PIECE + 5), (7, 7)])
async def test_a_stream_has_the_bytes_of_its_range(source: Source, begin: int, end: int) -> None:
    reading = await asyncio.to_thread(source.open)
    assert await _stream(reading, begin, end) == CONTENT[begin:end]
    await asyncio.to_thread(reading.close)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_source_is_hashed_wherever_it_is(source: Source, algorithm: str) -> None:
    assert hash_source(source, algorithm) == Digest.of(CONTENT, algorithm)


def test_only_a_source_that_says_so_is_to_be_had_elsewhere(source: Source) -> None:
    assert source.redirect() is None


@pytest.mark.parametrize("after", [0, PIECE])
async def test_a_storage_that_breaks_off_is_an_error_and_no_end(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    forget()
    driver = RemoteDriver()
    driver.write(at("a"), CONTENT)
    monkeypatch.setattr(RemoteDriver, "breaks_off_after", after)
    with opened(driver.source(at("a"))) as reading:
        for read in (lambda: b"".join(reading.blocks()), lambda: asyncio.run(_stream(reading, 0, SIZE))):
            with pytest.raises(OSError, match="the bucket is gone") as raised:
                await asyncio.to_thread(read)
            assert not isinstance(raised.value, ConnectionError)


def test_a_storage_that_sends_less_than_it_said_is_an_error() -> None:
    async def nothing(begin: int, end: int) -> AsyncGenerator[bytes, None]:
        for block in (b"",):
            yield block

    short = Remote(SIZE, 1, lambda begin, end: iter([CONTENT[:PIECE]]), nothing)
    with pytest.raises(OSError, match=f"sent {PIECE} of {SIZE} bytes"):
        hash_source(short, "sha256")
    with pytest.raises(OSError, match=f"sent 0 of {SIZE} bytes"):
        asyncio.run(_stream(short.open(), 0, SIZE))


def test_a_remote_blob_is_verified_and_put_into_quarantine_if_it_is_damaged() -> None:
    forget()
    driver = RemoteDriver()
    digest = push_blob(repository(registry_on(driver)), CONTENT)
    assert verify(driver, digest).verdict is Verdict.RIGHT
    assert not quarantine_if_damaged(driver, digest)
    RemoteDriver.breaks_off_after = PIECE
    try:
        assert verify(driver, digest).verdict is Verdict.UNREADABLE
    finally:
        forget()
    driver.write(layout.blob_data(digest), b"rotten")
    RemoteDriver.requests.clear()
    assert quarantine_if_damaged(driver, digest)
    assert RemoteDriver.requests == [(0, 6), (0, 6)]  # what looks wrong is read a second time, from the storage
    assert len(list(driver.children(layout.quarantine(layout.PRIVATE)))) == 1
