"""The detector of blocking calls is at work in every test that has an event loop."""

import asyncio
from pathlib import Path

import pytest
from blockbuster import BlockingError

from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams.layout import StoragePath


@pytest.mark.parametrize("again", range(2))
async def test_a_blocking_call_on_the_event_loop_is_an_error(tmp_path: Path, *, again: int) -> None:
    driver = await asyncio.to_thread(FilesystemDriver, tmp_path)
    with pytest.raises(BlockingError):
        driver.write(StoragePath("a"), b"")
    await asyncio.to_thread(driver.write, StoragePath("a"), b"")
