"""What every driver does for the garbage collection."""

import pytest

from pyregistry.storage import layout
from pyregistry.storage.driver import Driver, PathBusy, PathNotFound
from pyregistry.storage.layout import StoragePath
from tests.storage.contract_locks import held_elsewhere
from tests.storage.paths import MISSING, at

LINKS = ["a", "b", "c"]


class Times:
    """set_mtime."""

    @pytest.mark.parametrize("mtime_ns", [0, 1, 946_684_800 * 10**9, 1_800_000_000_123_456_789])
    def test_a_file_has_the_time_that_it_was_given_to_the_nanosecond(self, driver: Driver, mtime_ns: int) -> None:
        driver.write(at("a"), b"content")
        driver.set_mtime(at("a"), mtime_ns)
        assert driver.stat(at("a")).mtime_ns == mtime_ns

    def test_another_time_changes_nothing_else(self, driver: Driver) -> None:
        driver.write(at("a"), b"content")
        before = driver.stat(at("a"))
        driver.set_mtime(at("a"), before.mtime_ns + 1)
        after = driver.stat(at("a"))
        assert (after.inode, after.size, driver.read(at("a"))) == (before.inode, before.size, b"content")

    def test_a_file_that_is_written_anew_has_the_time_of_the_writing(self, driver: Driver) -> None:
        driver.write(at("a"), b"")
        driver.set_mtime(at("a"), 1)
        driver.write(at("a"), b"")
        assert driver.stat(at("a")).mtime_ns > 1

    def test_a_move_takes_the_time_along(self, driver: Driver) -> None:
        driver.write(at("a"), b"")
        driver.set_mtime(at("a"), 12345)
        driver.move(at("a"), at("b"))
        assert driver.stat(at("b")).mtime_ns == 12345

    @pytest.mark.parametrize("path", [MISSING, at("file", "below")], ids=["absent", "below"])
    def test_what_is_not_there_has_no_time(self, driver: Driver, path: StoragePath) -> None:
        driver.write(at("file"), b"")
        with pytest.raises(PathNotFound):
            driver.set_mtime(path, 0)


class Scan:
    """scan."""

    def test_each_child_comes_with_the_stat_of_its_leaf_in_byte_order(self, driver: Driver) -> None:
        for name in reversed(LINKS):
            driver.write(at("d", name, "link"), name.encode() * ord(name))
        scanned = list(driver.scan(at("d"), "link"))
        assert [name for name, _ in scanned] == LINKS
        assert [stat for _, stat in scanned] == [driver.stat(at("d", name, "link")) for name in LINKS]

    def test_a_child_without_the_leaf_comes_without_a_stat(self, driver: Driver) -> None:
        driver.write(at("d", "with", "link"), b"")
        driver.make_directory(at("d", "empty"))
        driver.write(at("d", "other", "data"), b"")
        driver.write(at("d", "file"), b"")
        found = {name: stat is not None for name, stat in driver.scan(at("d"), "link")}
        assert found == {"with": True, "empty": False, "other": False, "file": False}

    def test_a_leaf_that_is_a_directory_is_no_file(self, driver: Driver) -> None:
        driver.make_directory(at("d", "a", "link"))
        ((_, stat),) = driver.scan(at("d"), "link")
        assert stat is not None
        assert not stat.is_file

    def test_where_there_is_no_directory_nothing_is_scanned(self, driver: Driver) -> None:
        driver.write(at("file"), b"")
        assert [*driver.scan(MISSING, "link"), *driver.scan(at("file"), "link")] == []

    def test_what_vanishes_during_a_scan_ends_nothing(self, driver: Driver) -> None:
        for name in LINKS:
            driver.write(at("d", name, "link"), b"")
        scanned = driver.scan(at("d"), "link")
        assert next(scanned)[0] == "a"
        driver.delete(at("d"))
        assert list(scanned) == [("b", None), ("c", None)]


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


class Collecting(Times, Scan, Discard, BusyLocks):
    """All of it."""
