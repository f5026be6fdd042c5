"""What every driver does: the sentences of storage/driver.py, one test each."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from pyregistry.storage.driver import Driver, PathNotFound
from pyregistry.storage.layout import StoragePath
from pyregistry.storage.sources import opened
from tests.storage.paths import MISSING, at, content_of

NAMES = ["~", "a", "Z", "a-b", "a.b", "a0", "_x", "0", "10", "9", "\u00e9", "\U0001f600", "ab", "A"]
BYTE_ORDER = sorted(NAMES, key=str.encode)


class ReadAndWrite:
    """Files: read, write, stat, source."""

    def test_what_was_written_is_read(self, driver: Driver) -> None:
        driver.write(at("a", "link"), b"content")
        assert driver.read(at("a", "link")) == b"content"

    @pytest.mark.parametrize("durable", [True, False])
    @pytest.mark.parametrize("size", [0, 1, 3_000_000])
    def test_a_file_of_any_size_is_written_whole(self, driver: Driver, size: int, durable: bool) -> None:
        data = b"x" * size
        driver.write(at("a"), data, durable=durable)
        assert driver.read(at("a")) == data
        assert driver.stat(at("a")).size == size

    def test_with_a_limit_the_first_bytes_are_read(self, driver: Driver) -> None:
        driver.write(at("a"), b"content")
        assert [driver.read(at("a"), limit) for limit in (0, 3, 7, 8)] == [b"", b"con", b"content", b"content"]

    def test_a_second_write_replaces_the_first(self, driver: Driver) -> None:
        driver.write(at("a"), b"a longer content")
        driver.write(at("a"), b"short")
        assert driver.read(at("a")) == b"short"

    def test_a_write_makes_the_directories_that_are_missing(self, driver: Driver) -> None:
        driver.write(at("a", "b", "c", "d"), b"")
        assert list(driver.children(at("a", "b", "c"))) == ["d"]

    @pytest.mark.parametrize("size", [0, 1, 3_000_000])
    def test_a_file_that_is_created_is_there_with_its_directories(self, driver: Driver, size: int) -> None:
        driver.create(at("a", "b", "c"), b"x" * size)
        driver.create(at("a", "b", "d"), b"")
        assert list(driver.children(at("a", "b"))) == ["c", "d"]
        assert driver.read(at("a", "b", "c")) == b"x" * size

    def test_a_mark_is_left_only_in_a_directory_that_is_there(self, driver: Driver) -> None:
        with pytest.raises(PathNotFound):
            driver.mark(at("marks", "a"))
        assert list(driver.children(at())) == []
        driver.make_directory(at("marks"))
        for _ in range(2):
            driver.mark(at("marks", "a"))
        assert driver.stat(at("marks", "a")).size == 0
        driver.write(at("marks", "b"), b"x")
        driver.mark(at("marks", "b"))
        assert driver.read(at("marks", "b")) == b"x"

    @pytest.mark.parametrize(
        "path", [MISSING, at("file", "below"), at("directory")], ids=["absent", "below", "directory"]
    )
    def test_where_no_file_is_nothing_is_found(self, driver: Driver, path: StoragePath) -> None:
        driver.write(at("file"), b"x")
        driver.make_directory(at("directory"))
        for look in (driver.read, driver.source):
            with pytest.raises(PathNotFound):
                look(path)

    @pytest.mark.parametrize("path", [MISSING, at("file", "below")], ids=["absent", "below"])
    def test_where_nothing_is_nothing_has_a_stat(self, driver: Driver, path: StoragePath) -> None:
        driver.write(at("file"), b"x")
        with pytest.raises(PathNotFound):
            driver.stat(path)

    def test_a_file_has_its_size_and_the_time_of_its_writing(self, driver: Driver) -> None:
        before = time.time_ns()
        driver.write(at("a"), b"12345")
        stat = driver.stat(at("a"))
        assert (stat.size, stat.is_file) == (5, True)
        assert before - 10**9 < stat.mtime_ns < time.time_ns() + 10**9

    def test_a_directory_is_not_a_file(self, driver: Driver) -> None:
        driver.write(at("a", "b"), b"x")
        assert not driver.stat(at("a")).is_file

    def test_the_inode_changes_when_a_file_is_replaced_and_only_then(self, driver: Driver) -> None:
        driver.write(at("a"), b"x")
        first = driver.stat(at("a"))
        assert driver.stat(at("a")) == first
        driver.write(at("a"), b"y")
        assert driver.stat(at("a")).inode != first.inode

    def test_a_source_has_the_bytes_and_their_number(self, driver: Driver) -> None:
        driver.write(at("a"), b"content")
        source = driver.source(at("a"))
        assert source.size == 7
        assert content_of(source) == b"content"

    def test_who_has_a_file_open_keeps_it_while_it_is_replaced(self, driver: Driver) -> None:
        driver.write(at("a"), b"old")
        with opened(driver.source(at("a"))) as reading:
            driver.write(at("a"), b"new")
            assert [b"".join(reading.blocks(once=once)) for once in (False, True, True)] == [b"old"] * 3
        assert driver.read(at("a")) == b"new"

    def test_what_is_gone_cannot_be_opened_unless_it_is_held(self, driver: Driver) -> None:
        driver.write(at("a"), b"old")
        source = driver.source(at("a"))
        driver.delete(at("a"))
        try:
            content = content_of(source)
        except PathNotFound:
            return
        assert content == b"old"

    def test_nobody_ever_sees_a_part_of_a_file(self, driver: Driver) -> None:
        versions = [bytes([letter]) * 300_000 for letter in b"ab"]
        driver.write(at("a"), versions[0], durable=False)
        done = threading.Event()

        def read_on() -> set[bytes]:
            seen = set()
            while not done.is_set():
                seen.add(driver.read(at("a")))
            return seen

        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read_on) for _ in range(2)]
            for turn in range(60):
                driver.write(at("a"), versions[turn % 2], durable=False)
            done.set()
            assert set().union(*(reader.result() for reader in readers)) <= set(versions)

    def test_several_threads_may_write_the_same_file(self, driver: Driver) -> None:
        versions = [bytes([letter]) * 10_000 for letter in range(8)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda data: driver.write(at("a", "b", "c"), data), versions * 4))
        assert driver.read(at("a", "b", "c")) in versions
        assert list(driver.children(at("a", "b"))) == ["c"]

    def test_there_is_room_for_uploads(self, driver: Driver) -> None:
        assert driver.room() > 0

    def test_the_epoch_does_not_change_by_itself(self, driver: Driver) -> None:
        epoch = driver.epoch
        driver.write(at("a"), b"")
        assert driver.epoch == epoch != ""


class Directories:
    """Directories: make_directory, children."""

    def test_a_directory_is_made_with_those_above_it(self, driver: Driver) -> None:
        driver.make_directory(at("a", "b", "c"))
        assert not driver.stat(at("a", "b", "c")).is_file
        assert list(driver.children(at("a"))) == ["b"]

    @pytest.mark.parametrize("durable", [True, False])
    def test_a_directory_that_is_there_stays_as_it_is(self, driver: Driver, durable: bool) -> None:
        driver.write(at("a", "b"), b"x")
        driver.make_directory(at("a"), durable=durable)
        assert driver.read(at("a", "b")) == b"x"

    def test_several_threads_may_make_the_same_directory(self, driver: Driver) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: driver.make_directory(at("a", "b", "c", "d")), range(32)))
        assert list(driver.children(at("a", "b", "c"))) == ["d"]

    def test_children_come_in_byte_order_files_and_directories_alike(self, driver: Driver) -> None:
        for number, name in enumerate(NAMES):
            if number % 2:
                driver.write(at("a", name), b"", durable=False)
            else:
                driver.make_directory(at("a", name), durable=False)
        assert list(driver.children(at("a"))) == BYTE_ORDER

    @pytest.mark.parametrize("after", ["", "0", "a", "a-", "a-b", "b", "\u00e9", "~~~", "\U0010ffff"])
    def test_children_behind_a_name_come_whether_or_not_it_is_there(self, driver: Driver, after: str) -> None:
        for name in NAMES:
            driver.make_directory(at("a", name), durable=False)
        assert list(driver.children(at("a"), after)) == [name for name in BYTE_ORDER if name.encode() > after.encode()]

    @pytest.mark.parametrize("path", [MISSING, at("a", "file"), at("a", "file", "below")])
    def test_there_are_no_children_where_no_directory_is(self, driver: Driver, path: StoragePath) -> None:
        driver.write(at("a", "file"), b"x")
        assert list(driver.children(path)) == []

    def test_children_may_change_while_they_are_listed(self, driver: Driver) -> None:
        for name in "abc":
            driver.write(at("x", name), b"", durable=False)
        listed = []
        for name in driver.children(at("x")):
            listed.append(name)
            driver.delete(at("x", name))
        assert listed == ["a", "b", "c"]


class MoveAndDelete:
    """Moving and deleting."""

    def test_a_moved_file_is_at_its_target_only(self, driver: Driver) -> None:
        driver.write(at("a"), b"x")
        driver.move(at("a"), at("new", "directory", "b"))
        assert driver.read(at("new", "directory", "b")) == b"x"
        with pytest.raises(PathNotFound):
            driver.stat(at("a"))

    def test_a_moved_file_replaces_its_target_and_stays_the_same_file(self, driver: Driver) -> None:
        driver.write(at("a"), b"new")
        driver.write(at("b"), b"old")
        inode = driver.stat(at("a")).inode
        driver.move(at("a"), at("b"))
        assert driver.read(at("b")) == b"new"
        assert driver.stat(at("b")).inode == inode

    def test_a_file_moved_to_where_it_is_stays(self, driver: Driver) -> None:
        driver.write(at("a"), b"x")
        driver.move(at("a"), at("a"))
        assert driver.read(at("a")) == b"x"

    def test_what_is_not_there_cannot_be_moved_and_the_target_stays(self, driver: Driver) -> None:
        driver.write(at("b"), b"x")
        with pytest.raises(PathNotFound):
            driver.move(MISSING, at("b"))
        assert driver.read(at("b")) == b"x"

    def test_a_deleted_file_is_gone_and_its_neighbours_are_not(self, driver: Driver) -> None:
        driver.write(at("a", "b"), b"x")
        driver.write(at("a", "c"), b"y")
        driver.delete(at("a", "b"))
        assert list(driver.children(at("a"))) == ["c"]
        with pytest.raises(PathNotFound):
            driver.read(at("a", "b"))

    def test_a_deleted_directory_is_gone_with_everything_below(self, driver: Driver) -> None:
        driver.write(at("a", "b", "c", "d"), b"x")
        driver.write(at("a", "b", "e"), b"y")
        driver.delete(at("a", "b"))
        assert list(driver.children(at("a"))) == []
        for path in (at("a", "b"), at("a", "b", "c"), at("a", "b", "c", "d")):
            with pytest.raises(PathNotFound):
                driver.stat(path)

    @pytest.mark.parametrize("path", [MISSING, at("file", "below")])
    def test_what_is_not_there_cannot_be_deleted(self, driver: Driver, path: StoragePath) -> None:
        driver.write(at("file"), b"x")
        with pytest.raises(PathNotFound):
            driver.delete(path)
        assert driver.read(at("file")) == b"x"

    def test_what_was_deleted_can_be_written_again(self, driver: Driver) -> None:
        driver.write(at("a", "b"), b"x")
        driver.delete(at("a"))
        driver.write(at("a", "b"), b"y")
        assert driver.read(at("a", "b")) == b"y"

    def test_of_several_threads_one_deletes(self, driver: Driver) -> None:
        driver.write(at("a", "b"), b"x")

        def delete(_: int) -> int:
            with suppress(PathNotFound):
                driver.delete(at("a"))
                return 1
            return 0

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(delete, range(16))) == 1
