"""The contract of the appenders of every driver."""

import asyncio

import pytest

from pyregistry.storage.local.driver import Driver
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import PathBusy, PathNotFound
from tests.storage.paths import MISSING, at

FILE = at("a", "data")
PATIENCE = 10.0
SHORT = 0.05


async def write(driver: Driver, data: bytes) -> None:
    """Off the loop, as the storage does it."""
    await asyncio.to_thread(driver.write, FILE, data)


async def read(driver: Driver) -> bytes:
    """Off the loop, as the storage does it."""
    return await asyncio.to_thread(driver.read, FILE)


class Appending:
    """Appenders, alone and two at once."""

    async def test_what_is_appended_stands_behind_what_was_there(self, driver: Driver) -> None:
        await write(driver, b"abc")
        async with driver.appender(FILE, wait=0) as appender:
            assert appender.offset == 3
            await appender.write(b"def")
            assert appender.offset == 6
            await appender.write(b"")
            await appender.write(bytearray(b"g"))
            await appender.write(memoryview(b"xhx")[1:2])
            assert appender.offset == 8
        assert await read(driver) == b"abcdefgh"

    async def test_a_megabyte_is_appended_whole(self, driver: Driver) -> None:
        await write(driver, b"")
        data = bytes(range(256)) * 4096
        async with driver.appender(FILE, wait=0) as appender:
            await appender.write(data)
            await appender.write(data)
        assert await read(driver) == data * 2

    async def test_many_pieces_are_appended_at_once(self, driver: Driver) -> None:
        await write(driver, b"begin")
        data = bytes(range(256)) * 4096
        pieces = [memoryview(data)[at : at + 300] for at in range(0, len(data), 300)]
        async with driver.appender(FILE, wait=0) as appender:
            await asyncio.to_thread(appender.write_now, pieces)
            await asyncio.to_thread(appender.write_now, [])
            assert appender.offset == 5 + len(data)
            await appender.write(b"end")
        assert await read(driver) == b"begin" + data + b"end"

    async def test_what_was_appended_is_there_before_the_file_is_closed(self, driver: Driver) -> None:
        await write(driver, b"a")
        async with driver.appender(FILE, wait=0) as appender:
            await appender.write(b"b")
            await asyncio.to_thread(appender.sync)
            assert await read(driver) == b"ab"

    async def test_the_stat_is_that_of_the_file_as_it_grows(self, driver: Driver) -> None:
        await write(driver, b"a")
        async with driver.appender(FILE, wait=0) as appender:
            before = await asyncio.to_thread(appender.stat)
            await appender.write(b"b")
            after = await asyncio.to_thread(appender.stat)
        assert (before.size, after.size) == (1, 2)
        assert before.version[0] == after.version[0]
        assert before.modified_ns <= after.modified_ns
        assert after == await asyncio.to_thread(driver.stat, FILE)

    @pytest.mark.parametrize("path", [MISSING, at("directory"), at("a", "data", "below")])
    async def test_where_no_file_is_nothing_is_appended(self, driver: Driver, path: StoragePath) -> None:
        await write(driver, b"")
        await asyncio.to_thread(driver.make_directory, at("directory"))
        with pytest.raises(PathNotFound):
            async with driver.appender(path, wait=0):
                pytest.fail("there is no file")

    async def test_on_request_the_file_and_its_directories_are_made(self, driver: Driver) -> None:
        async with driver.appender(FILE, wait=0, create=True) as appender:
            assert appender.offset == 0
            await appender.write(b"x")
        assert await read(driver) == b"x"

    async def test_a_file_that_is_there_is_not_made_again(self, driver: Driver) -> None:
        await write(driver, b"abc")
        async with driver.appender(FILE, wait=0, create=True) as appender:
            assert appender.offset == 3
        assert await read(driver) == b"abc"

    @pytest.mark.parametrize("wait", [0, SHORT])
    async def test_while_one_appends_another_gets_busy(self, driver: Driver, wait: float) -> None:
        await write(driver, b"")
        async with driver.appender(FILE, wait=0) as first:
            with pytest.raises(PathBusy):
                async with driver.appender(FILE, wait=wait):
                    pytest.fail("two hold the file")
            await first.write(b"first")
        assert await read(driver) == b"first"

    async def test_who_waits_gets_the_file_as_the_other_left_it(self, driver: Driver) -> None:
        await write(driver, b"")

        async def second() -> int:
            async with driver.appender(FILE, wait=PATIENCE) as appender:
                await appender.write(b"second")
                return appender.offset

        async with driver.appender(FILE, wait=0) as first:
            waiting = asyncio.create_task(second())
            await asyncio.sleep(SHORT)
            assert not waiting.done()
            await first.write(b"first ")
        assert await waiting == 12
        assert await read(driver) == b"first second"

    async def test_a_file_whose_holder_failed_is_free_again(self, driver: Driver) -> None:
        await write(driver, b"")

        async def fail() -> None:
            async with driver.appender(FILE, wait=0) as appender:
                await appender.write(b"kept")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await fail()
        async with driver.appender(FILE, wait=0) as appender:
            assert appender.offset == 4

    @pytest.mark.parametrize("change", ["replaced", "deleted", "moved"])
    async def test_a_file_that_goes_while_one_waits_is_not_found(self, driver: Driver, change: str) -> None:
        await write(driver, b"old")

        async def second() -> None:
            async with driver.appender(FILE, wait=PATIENCE) as appender:
                await appender.write(b"lost")

        async with driver.appender(FILE, wait=0):
            waiting = asyncio.create_task(second())
            await asyncio.sleep(SHORT)
            if change == "replaced":
                await write(driver, b"new")
            elif change == "deleted":
                await asyncio.to_thread(driver.delete, at("a"))
            else:
                await asyncio.to_thread(driver.move, FILE, at("elsewhere"))
        with pytest.raises(PathNotFound):
            await waiting
        if change == "replaced":
            assert await read(driver) == b"new"

    async def test_who_is_cancelled_while_waiting_leaves_the_file_to_others(self, driver: Driver) -> None:
        await write(driver, b"")

        async def second() -> None:
            async with driver.appender(FILE, wait=PATIENCE):
                pytest.fail("two hold the file")

        async with driver.appender(FILE, wait=0):
            waiting = asyncio.create_task(second())
            await asyncio.sleep(SHORT)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        async with driver.appender(FILE, wait=0):
            pass

    @pytest.mark.parametrize("steps", range(6))
    async def test_a_cancelled_write_leaves_whole_writes_and_a_free_file(self, driver: Driver, steps: int) -> None:
        await write(driver, b"")
        block = b"0123456789abcdef" * 4_096

        async def append() -> None:
            async with driver.appender(FILE, wait=0) as appender:
                while True:
                    await appender.write(block)
                    await asyncio.sleep(0)

        writing = asyncio.create_task(append())
        for _ in range(steps):
            await asyncio.sleep(0.001 * steps)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        async with driver.appender(FILE, wait=0) as appender:
            assert appender.offset % len(block) == 0
            assert appender.offset == len(await read(driver))


class Holding:
    """Files that a thread holds, alone and together with appenders."""

    def test_rewinding_takes_back_what_was_appended_since_it_was_opened(self, driver: Driver) -> None:
        driver.write(FILE, b"before")
        with driver.open_locked(FILE) as held:
            held.write_now([memoryview(b" and behind")])
            held.rewind()
            assert held.offset == len(b"before")
            held.write_now([memoryview(b"!")])
        assert driver.read(FILE) == b"before!"

    def test_what_is_appended_by_who_holds_a_file_stands_behind_what_was_there(self, driver: Driver) -> None:
        driver.write(FILE, b"abc")
        with driver.open_locked(FILE) as held:
            assert (held.offset, held.opened.size) == (3, 3)
            held.write_now([memoryview(b"def")])
            held.write_now([memoryview(b"")])
            held.sync()
            assert held.offset == held.stat().size == 6
        assert driver.read(FILE) == b"abcdef"

    @pytest.mark.parametrize("path", [MISSING, at("a")], ids=["absent", "a directory"])
    def test_where_no_file_is_nothing_is_held(self, driver: Driver, path: StoragePath) -> None:
        driver.write(FILE, b"")
        with pytest.raises(PathNotFound), driver.open_locked(path):
            pytest.fail("there is nothing to hold")

    def test_of_two_who_would_hold_a_file_the_second_does_not_wait(self, driver: Driver) -> None:
        driver.write(FILE, b"")
        with driver.open_locked(FILE), pytest.raises(PathBusy), driver.open_locked(FILE):
            pytest.fail("two hold the file")
        with driver.open_locked(FILE):
            pass

    async def test_an_appender_and_who_holds_a_file_keep_each_other_out(self, driver: Driver) -> None:
        await write(driver, b"")

        def hold() -> None:
            with driver.open_locked(FILE) as held:
                held.write_now([memoryview(b"held")])

        async with driver.appender(FILE, wait=0) as appender:
            with pytest.raises(PathBusy):
                await asyncio.to_thread(hold)
            await appender.write(b"appended, ")
        await asyncio.to_thread(hold)
        assert await read(driver) == b"appended, held"

    def test_a_file_whose_holder_in_a_thread_failed_is_free_again(self, driver: Driver) -> None:
        driver.write(FILE, b"")

        def fail() -> None:
            with driver.open_locked(FILE) as held:
                held.write_now([memoryview(b"kept")])
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        with driver.open_locked(FILE) as held:
            assert held.offset == 4
