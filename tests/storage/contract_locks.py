"""The contract of the locks of every driver."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pyregistry.storage.local.driver import Driver

PATIENCE = 10.0
"""Seconds until a test gives up on what must happen."""
SHORT = 0.05
"""Seconds in which what must not happen could."""


@contextmanager
def held_elsewhere(driver: Driver, name: str, *, exclusive: bool) -> Iterator[None]:
    """Another thread holds the lock meanwhile."""
    has_it, give_back = threading.Event(), threading.Event()

    def hold() -> None:
        with driver.lock(name, exclusive=exclusive):
            has_it.set()
            give_back.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert has_it.wait(PATIENCE)
        yield
    finally:
        give_back.set()
        thread.join()


class Locks:
    """Locks between threads."""

    @pytest.mark.parametrize(("held", "wanted"), [(True, True), (True, False), (False, True)])
    def test_an_exclusive_lock_is_held_by_one(self, driver: Driver, held: bool, wanted: bool) -> None:
        entered = threading.Event()

        def want() -> None:
            with driver.lock("a", exclusive=wanted):
                entered.set()

        thread = threading.Thread(target=want)
        with held_elsewhere(driver, "a", exclusive=held):
            thread.start()
            assert not entered.wait(SHORT)
        assert entered.wait(PATIENCE)
        thread.join()

    def test_a_shared_lock_is_held_by_several(self, driver: Driver) -> None:
        with held_elsewhere(driver, "a", exclusive=False), driver.lock("a", exclusive=False):
            pass

    def test_an_exclusive_lock_waits_for_the_last_who_shares(self, driver: Driver) -> None:
        entered = threading.Event()

        def want() -> None:
            with driver.lock("a", exclusive=True):
                entered.set()

        thread = threading.Thread(target=want)
        with held_elsewhere(driver, "a", exclusive=False):
            with held_elsewhere(driver, "a", exclusive=False):
                thread.start()
            assert not entered.wait(SHORT)
        assert entered.wait(PATIENCE)
        thread.join()

    def test_locks_of_different_names_know_nothing_of_each_other(self, driver: Driver) -> None:
        with held_elsewhere(driver, "a", exclusive=True), driver.lock("b", exclusive=True):
            pass

    def test_a_lock_is_given_back_when_its_block_fails(self, driver: Driver) -> None:
        with pytest.raises(RuntimeError), driver.lock("a", exclusive=True):
            raise RuntimeError
        with driver.lock("a", exclusive=True):
            pass

    def test_under_an_exclusive_lock_nothing_is_lost(self, driver: Driver) -> None:
        value = 0

        def count() -> None:
            nonlocal value
            for _ in range(200):
                with driver.lock("a", exclusive=True):
                    seen = value
                    threading.Event().wait(0)  # lets another thread run
                    value = seen + 1

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert value == 800
