"""Contract of a driver beyond objects, for the local leases and uploads: the sentences of storage/local/driver.py."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pyregistry.storage.local.driver import Driver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import PathBusy, PathNotFound
from tests.storage.contract_locks import held_elsewhere
from tests.storage.paths import MISSING, at

LINKS = ["a", "b", "c"]


class Making:
    """create, mark, make_directory."""

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

    def test_an_empty_directory_is_listed_and_is_no_file(self, driver: Driver) -> None:
        driver.make_directory(at("d", "empty"), durable=False)
        driver.write(at("d", "with", "link"), b"")
        assert list(driver.children(at("d"))) == ["empty", "with"]
        assert {name: stat is not None for name, stat in driver.scan(at("d"), "link")} == {"empty": False, "with": True}
        assert not driver.stat(at("d", "empty")).is_file
        for look in (driver.read, driver.source):
            with pytest.raises(PathNotFound):
                look(at("d", "empty"))


class Moving:
    """move."""

    def test_a_moved_file_is_at_its_target_only(self, driver: Driver) -> None:
        driver.write(at("a"), b"x")
        driver.move(at("a"), at("new", "directory", "b"))
        assert driver.read(at("new", "directory", "b")) == b"x"
        with pytest.raises(PathNotFound):
            driver.stat(at("a"))

    def test_a_moved_file_replaces_its_target_and_stays_the_same_file(self, driver: Driver) -> None:
        driver.write(at("a"), b"new")
        driver.write(at("b"), b"old")
        moved = driver.stat(at("a"))
        driver.move(at("a"), at("b"))
        assert driver.read(at("b")) == b"new"
        assert driver.stat(at("b")).content_id == moved.content_id

    def test_a_file_moved_to_where_it_is_stays(self, driver: Driver) -> None:
        driver.write(at("a"), b"x")
        driver.move(at("a"), at("a"))
        assert driver.read(at("a")) == b"x"

    def test_what_is_not_there_cannot_be_moved_and_the_target_stays(self, driver: Driver) -> None:
        driver.write(at("b"), b"x")
        with pytest.raises(PathNotFound):
            driver.move(MISSING, at("b"))
        assert driver.read(at("b")) == b"x"


class Storing:
    """available_bytes, epoch, places."""

    def test_there_is_room_for_uploads(self, driver: Driver) -> None:
        assert driver.available_bytes() > 0

    def test_the_epoch_does_not_change_by_itself(self, driver: Driver) -> None:
        epoch = driver.epoch
        driver.write(at("a"), b"")
        assert driver.epoch == epoch != ""

    def test_what_is_ours_has_a_place_of_its_own(self, driver: Driver) -> None:
        assert driver.private_directories()[0] == driver.private_directory_of(at("a")) == layout.PRIVATE

    def test_entries_are_the_children_with_their_stats(self, driver: Driver) -> None:
        driver.write(at("d", "file"), b"x")
        driver.make_directory(at("d", "directory"))
        entries = [(each.name, each.is_directory, each.obstacle) for each in driver.entries(at("d"))]
        assert entries == [("directory", True, None), ("file", False, None)]
        assert [each.stat for each in driver.entries(at("d"))][1] == driver.stat(at("d", "file"))
        assert list(driver.entries(MISSING)) == []
        assert driver.symbolic_links(at("d")) == []


class Times:
    """set_mtime."""

    @pytest.mark.parametrize("mtime_ns", [0, 1, 946_684_800 * 10**9, 1_800_000_000_123_456_789])
    def test_a_file_has_the_time_that_it_was_given_to_the_nanosecond(self, driver: Driver, mtime_ns: int) -> None:
        driver.write(at("a"), b"content")
        driver.set_mtime(at("a"), mtime_ns)
        assert driver.stat(at("a")).modified_ns == mtime_ns

    def test_another_time_is_another_version_of_the_same_content(self, driver: Driver) -> None:
        driver.write(at("a"), b"content")
        before = driver.stat(at("a"))
        driver.set_mtime(at("a"), before.modified_ns + 1)
        after = driver.stat(at("a"))
        assert (after.content_id, after.size, driver.read(at("a"))) == (before.content_id, before.size, b"content")
        assert after.version != before.version

    def test_a_file_that_is_written_anew_has_the_time_of_the_writing(self, driver: Driver) -> None:
        driver.write(at("a"), b"")
        driver.set_mtime(at("a"), 1)
        driver.write(at("a"), b"")
        assert driver.stat(at("a")).modified_ns > 1

    def test_a_move_takes_the_time_along(self, driver: Driver) -> None:
        driver.write(at("a"), b"")
        driver.set_mtime(at("a"), 12345)
        driver.move(at("a"), at("b"))
        assert driver.stat(at("b")).modified_ns == 12345

    @pytest.mark.parametrize("path", [MISSING, at("file", "below")], ids=["absent", "below"])
    def test_what_is_not_there_has_no_time(self, driver: Driver, path: StoragePath) -> None:
        driver.write(at("file"), b"")
        with pytest.raises(PathNotFound):
            driver.set_mtime(path, 0)


class Discard:
    """discard, empty_trash, prune."""

    def test_what_was_discarded_is_gone_with_everything_below(self, driver: Driver) -> None:
        driver.write(at("d", "a", "link"), b"")
        driver.write(at("d", "b"), b"")
        driver.discard(at("d", "a"))
        assert list(driver.children(at("d"))) == ["b"]
        driver.discard(at("d", "b"))
        assert list(driver.children(at("d"))) == []

    def test_what_was_discarded_can_be_written_again_and_survives_the_trash(self, driver: Driver) -> None:
        driver.write(at("d", "a"), b"old")
        driver.discard(at("d"))
        driver.write(at("d", "a"), b"new")
        driver.empty_trash()
        assert driver.read(at("d", "a")) == b"new"

    def test_what_is_not_there_cannot_be_discarded(self, driver: Driver) -> None:
        driver.write(at("file"), b"")
        for path in (MISSING, at("file", "below"), at("missing", "below")):
            with pytest.raises(PathNotFound):
                driver.discard(path)

    def test_an_emptied_trash_is_empty(self, driver: Driver) -> None:
        driver.empty_trash()  # there is none yet
        for name in LINKS:
            driver.write(at("d", name, "link"), b"")
            driver.discard(at("d", name))
        driver.empty_trash()
        assert list(driver.children(layout.trash(layout.PRIVATE))) == []
        driver.empty_trash()

    def test_directories_without_a_file_are_pruned_at_any_depth(self, driver: Driver) -> None:
        for names in (("d",), ("d", "a", "b", "c"), ("d", "x")):
            driver.make_directory(at(*names))
        assert driver.prune(at("d"))
        assert list(driver.children(at())) == []

    def test_a_file_keeps_the_directories_above_it_and_no_others(self, driver: Driver) -> None:
        driver.write(at("d", "a", "kept"), b"")
        driver.make_directory(at("d", "a", "empty"))
        driver.make_directory(at("d", "b"))
        assert not driver.prune(at("d"))
        assert list(driver.children(at("d"))) == ["a"]
        assert list(driver.children(at("d", "a"))) == ["kept"]

    def test_what_is_not_there_counts_as_pruned(self, driver: Driver) -> None:
        assert driver.prune(MISSING)
        assert driver.prune(at("missing", "below"))


class BusyLocks:
    """lock without waiting."""

    @pytest.mark.parametrize(("held", "wanted"), [(True, True), (True, False), (False, True)])
    def test_who_does_not_wait_is_told_that_it_is_held(self, driver: Driver, held: bool, wanted: bool) -> None:
        with (
            held_elsewhere(driver, "a", exclusive=held),
            pytest.raises(PathBusy),
            driver.lock("a", exclusive=wanted, wait=False),
        ):
            pass
        with driver.lock("a", exclusive=wanted, wait=False):
            pass

    def test_a_shared_lock_need_not_be_waited_for_by_who_shares_it(self, driver: Driver) -> None:
        with held_elsewhere(driver, "a", exclusive=False), driver.lock("a", exclusive=False, wait=False):
            pass

    def test_who_was_told_so_holds_nothing(self, driver: Driver) -> None:
        with held_elsewhere(driver, "a", exclusive=False):
            with pytest.raises(PathBusy), driver.lock("a", exclusive=True, wait=False):
                pass
            with driver.lock("a", exclusive=False, wait=False):
                pass


class LocalContract(Making, Moving, Storing, Times, Discard, BusyLocks):
    """All of it, except the locks and the appended files."""
