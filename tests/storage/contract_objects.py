"""Contract of every storage of objects: the sentences of storage/seams/objects.py, one test each."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import AlreadyThere, Objects, PathNotFound
from pyregistry.storage.seams.sources import opened
from tests.storage.paths import MISSING, at, content_of

NAMES = ["~", "a", "Z", "a-b", "a.b", "a0", "_x", "0", "10", "9", "\u00e9", "\U0001f600", "ab", "A"]
BYTE_ORDER = sorted(NAMES, key=str.encode)
LINKS = ["a", "b", "c"]


class Reading:
    """read, stat, source, write."""

    def test_what_was_written_is_read(self, objects: Objects) -> None:
        objects.write(at("a", "link"), b"content")
        assert objects.read(at("a", "link")) == b"content"

    @pytest.mark.parametrize("durable", [True, False])
    @pytest.mark.parametrize("size", [0, 1, 3_000_000])
    def test_a_file_of_any_size_is_written_whole(self, objects: Objects, size: int, durable: bool) -> None:
        data = b"x" * size
        objects.write(at("a"), data, durable=durable)
        assert objects.read(at("a")) == data
        assert objects.stat(at("a")).size == size

    def test_with_a_limit_the_first_bytes_are_read(self, objects: Objects) -> None:
        objects.write(at("a"), b"content")
        assert [objects.read(at("a"), limit) for limit in (0, 3, 7, 8)] == [b"", b"con", b"content", b"content"]

    @pytest.mark.parametrize(
        ("begin", "limit", "expected"), [(0, 3, b"con"), (3, 2, b"te"), (3, None, b"tent"), (6, 9, b"t"), (7, 1, b"")]
    )
    def test_a_reading_begins_where_it_is_told(
        self, objects: Objects, begin: int, limit: int | None, expected: bytes
    ) -> None:
        objects.write(at("a"), b"content")
        assert objects.read(at("a"), limit, begin=begin) == expected

    def test_a_second_write_replaces_the_first(self, objects: Objects) -> None:
        objects.write(at("a"), b"a longer content")
        objects.write(at("a"), b"short")
        assert objects.read(at("a")) == b"short"

    def test_a_write_makes_the_directories_that_are_missing(self, objects: Objects) -> None:
        objects.write(at("a", "b", "c", "d"), b"")
        assert list(objects.children(at("a", "b", "c"))) == ["d"]

    @pytest.mark.parametrize("durable", [True, False])
    def test_what_must_be_absent_is_written_once(self, objects: Objects, durable: bool) -> None:
        objects.write(at("a", "b"), b"first", if_absent=True, durable=durable)
        for _ in range(2):
            with pytest.raises(AlreadyThere):
                objects.write(at("a", "b"), b"second", if_absent=True, durable=durable)
        assert objects.read(at("a", "b")) == b"first"
        assert list(objects.children(at("a"))) == ["b"]
        objects.delete(at("a", "b"))
        objects.write(at("a", "b"), b"third", if_absent=True, durable=durable)
        assert objects.read(at("a", "b")) == b"third"

    def test_of_several_writers_of_what_must_be_absent_one_succeeds(self, objects: Objects) -> None:
        def write(number: int) -> int:
            with suppress(AlreadyThere):
                objects.write(at("a"), bytes([number]), if_absent=True)
                return 1
            return 0

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(write, range(16))) == 1

    @pytest.mark.parametrize("path", [MISSING, at("file", "below"), at("directory")])
    def test_where_no_file_is_nothing_is_found(self, objects: Objects, path: StoragePath) -> None:
        objects.write(at("file"), b"x")
        objects.write(at("directory", "file"), b"x")
        for look in (objects.read, objects.source):
            with pytest.raises(PathNotFound):
                look(path)

    @pytest.mark.parametrize("path", [MISSING, at("file", "below")], ids=["absent", "below"])
    def test_where_nothing_is_nothing_has_a_stat(self, objects: Objects, path: StoragePath) -> None:
        objects.write(at("file"), b"x")
        with pytest.raises(PathNotFound):
            objects.stat(path)

    def test_a_file_has_its_size_and_the_time_of_its_writing(self, objects: Objects) -> None:
        before = time.time_ns()
        objects.write(at("a"), b"12345")
        stat = objects.stat(at("a"))
        assert (stat.size, stat.is_file) == (5, True)
        assert before - 10**9 < stat.modified_ns < time.time_ns() + 10**9

    def test_a_directory_is_not_a_file(self, objects: Objects) -> None:
        objects.write(at("a", "b"), b"x")
        assert not objects.stat(at("a")).is_file

    def test_each_write_gives_another_version_and_other_content_and_nothing_else_does(self, objects: Objects) -> None:
        objects.write(at("a"), b"x")
        first = objects.stat(at("a"))
        objects.write(at("b"), b"x")
        assert objects.stat(at("a")) == first
        objects.write(at("a"), b"x")
        second = objects.stat(at("a"))
        assert second.version != first.version
        assert second.content_id != first.content_id

    def test_a_version_is_racy_for_a_short_time_only(self, objects: Objects) -> None:
        objects.write(at("a"), b"x")
        while objects.is_racy(objects.stat(at("a"))):
            time.sleep(0.05)

    def test_a_source_has_the_bytes_and_their_number(self, objects: Objects) -> None:
        objects.write(at("a"), b"content")
        source = objects.source(at("a"))
        assert source.size == 7
        assert content_of(source) == b"content"

    def test_an_open_source_is_told_by_the_identity_of_its_bytes(self, objects: Objects) -> None:
        objects.write(at("a"), b"old")
        before = objects.stat(at("a"))
        with opened(objects.source(at("a"))) as reading:
            assert reading.content_id == before.content_id
            objects.write(at("a"), b"new")
            assert reading.content_id != objects.stat(at("a")).content_id

    def test_who_has_a_file_open_keeps_it_while_it_is_replaced(self, objects: Objects) -> None:
        objects.write(at("a"), b"old")
        with opened(objects.source(at("a"))) as reading:
            objects.write(at("a"), b"new")
            assert [b"".join(reading.blocks(once=once)) for once in (False, True, True)] == [b"old"] * 3
        assert objects.read(at("a")) == b"new"

    def test_what_is_gone_cannot_be_opened_unless_it_is_held(self, objects: Objects) -> None:
        objects.write(at("a"), b"old")
        source = objects.source(at("a"))
        objects.delete(at("a"))
        try:
            content = content_of(source)
        except PathNotFound:
            return
        assert content == b"old"

    def test_nobody_ever_sees_a_part_of_a_file(self, objects: Objects) -> None:
        versions = [bytes([letter]) * 300_000 for letter in b"ab"]
        objects.write(at("a"), versions[0], durable=False)
        done = threading.Event()

        def read_on() -> set[bytes]:
            seen = set()
            while not done.is_set():
                seen.add(objects.read(at("a")))
            return seen

        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read_on) for _ in range(2)]
            for turn in range(60):
                objects.write(at("a"), versions[turn % 2], durable=False)
            done.set()
            assert set().union(*(reader.result() for reader in readers)) <= set(versions)

    def test_several_threads_may_write_the_same_file(self, objects: Objects) -> None:
        versions = [bytes([letter]) * 10_000 for letter in range(8)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda data: objects.write(at("a", "b", "c"), data), versions * 4))
        assert objects.read(at("a", "b", "c")) in versions
        assert list(objects.children(at("a", "b"))) == ["c"]


class Listing:
    """children, scan."""

    def test_children_come_in_byte_order_files_and_directories_alike(self, objects: Objects) -> None:
        for number, name in enumerate(NAMES):
            path = at("a", name) if number % 2 else at("a", name, "below")
            objects.write(path, b"", durable=False)
        assert list(objects.children(at("a"))) == BYTE_ORDER

    @pytest.mark.parametrize("after", ["", "0", "a", "a-", "a-b", "b", "\u00e9", "~~~", "\U0010ffff"])
    def test_children_behind_a_name_come_whether_or_not_it_is_there(self, objects: Objects, after: str) -> None:
        for name in NAMES:
            objects.write(at("a", name, "below"), b"", durable=False)
        assert list(objects.children(at("a"), after)) == [name for name in BYTE_ORDER if name.encode() > after.encode()]

    @pytest.mark.parametrize("path", [MISSING, at("a", "file"), at("a", "file", "below")])
    def test_there_are_no_children_where_no_directory_is(self, objects: Objects, path: StoragePath) -> None:
        objects.write(at("a", "file"), b"x")
        assert list(objects.children(path)) == []

    def test_children_may_change_while_they_are_listed(self, objects: Objects) -> None:
        for name in "abc":
            objects.write(at("x", name), b"", durable=False)
        listed = []
        for name in objects.children(at("x")):
            listed.append(name)
            objects.delete(at("x", name))
        assert listed == ["a", "b", "c"]

    def test_each_child_comes_with_the_stat_of_its_leaf_in_byte_order(self, objects: Objects) -> None:
        for name in reversed(LINKS):
            objects.write(at("d", name, "link"), name.encode() * ord(name))
        scanned = list(objects.scan(at("d"), "link"))
        assert [name for name, _ in scanned] == LINKS
        assert [stat for _, stat in scanned] == [objects.stat(at("d", name, "link")) for name in LINKS]

    def test_a_child_without_the_leaf_comes_without_a_stat(self, objects: Objects) -> None:
        objects.write(at("d", "with", "link"), b"")
        objects.write(at("d", "other", "data"), b"")
        objects.write(at("d", "file"), b"")
        found = {name: stat is not None for name, stat in objects.scan(at("d"), "link")}
        assert found == {"with": True, "other": False, "file": False}

    def test_a_leaf_that_is_a_directory_is_no_file(self, objects: Objects) -> None:
        objects.write(at("d", "a", "link", "below"), b"")
        ((_, stat),) = objects.scan(at("d"), "link")
        assert stat is not None
        assert not stat.is_file

    def test_where_there_is_no_directory_nothing_is_scanned(self, objects: Objects) -> None:
        objects.write(at("file"), b"")
        assert [*objects.scan(MISSING, "link"), *objects.scan(at("file"), "link")] == []

    def test_what_vanishes_during_a_scan_ends_nothing(self, objects: Objects) -> None:
        for name in LINKS:
            objects.write(at("d", name, "link"), b"")
        scanned = objects.scan(at("d"), "link")
        assert next(scanned)[0] == "a"
        objects.delete(at("d"))
        assert list(scanned) == [("b", None), ("c", None)]


class Removing:
    """delete, delete_many."""

    def test_a_deleted_file_is_gone_and_its_neighbours_are_not(self, objects: Objects) -> None:
        objects.write(at("a", "b"), b"x")
        objects.write(at("a", "c"), b"y")
        objects.delete(at("a", "b"))
        assert list(objects.children(at("a"))) == ["c"]
        with pytest.raises(PathNotFound):
            objects.read(at("a", "b"))

    def test_a_deleted_directory_is_gone_with_everything_below(self, objects: Objects) -> None:
        objects.write(at("a", "b", "c", "d"), b"x")
        objects.write(at("a", "b", "e"), b"y")
        objects.delete(at("a", "b"))
        assert list(objects.children(at("a"))) == []
        for path in (at("a", "b"), at("a", "b", "c"), at("a", "b", "c", "d")):
            with pytest.raises(PathNotFound):
                objects.stat(path)

    @pytest.mark.parametrize("path", [MISSING, at("file", "below")])
    def test_what_is_not_there_cannot_be_deleted(self, objects: Objects, path: StoragePath) -> None:
        objects.write(at("file"), b"x")
        with pytest.raises(PathNotFound):
            objects.delete(path)
        assert objects.read(at("file")) == b"x"

    def test_what_was_deleted_can_be_written_again(self, objects: Objects) -> None:
        objects.write(at("a", "b"), b"x")
        objects.delete(at("a"))
        objects.write(at("a", "b"), b"y")
        assert objects.read(at("a", "b")) == b"y"

    def test_of_several_threads_one_deletes(self, objects: Objects) -> None:
        objects.write(at("a", "b"), b"x")

        def delete(_: int) -> int:
            with suppress(PathNotFound):
                objects.delete(at("a"))
                return 1
            return 0

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(delete, range(16))) == 1

    def test_many_are_deleted_and_those_that_are_not_there_are_passed_over(self, objects: Objects) -> None:
        paths = [at(name, "data") for name in LINKS]
        for path in paths:
            objects.write(path, b"x")
        objects.write(at("a", "kept"), b"x")
        objects.delete_many([MISSING, *paths, at("a", "kept", "below")])
        for path in paths:
            with pytest.raises(PathNotFound):
                objects.stat(path)
        assert objects.read(at("a", "kept")) == b"x"
        objects.delete_many([])


class ObjectsContract(Reading, Listing, Removing):
    """All of it."""
