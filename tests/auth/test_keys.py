"""The keys of our own tokens: made once for all workers, replaced every day, each good for the tokens it signed."""

import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import pytest

from pyregistry.auth.keys import ROTATE_SECONDS, TOKEN_SECONDS, KeyRing
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams import layout
from tests.storage.pushing import secret_on


class Clock:
    """The time, in a test's hand."""

    def __init__(self) -> None:
        self.now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def driver() -> Driver:
    return MemoryDriver()


@pytest.fixture
def ring(driver: Driver, clock: Clock) -> Callable[[], KeyRing]:
    """Another worker's keys at each call."""
    return lambda: KeyRing(secret_on(driver, layout.TOKEN_KEYS), clock)


def test_all_workers_sign_with_one_key(ring: Callable[[], KeyRing]) -> None:
    rings = [ring() for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda worker: worker.signing().id, rings))
    assert len(keys) == 1
    assert len(rings[0].signing().secret) == 32


def test_a_worker_knows_a_key_that_another_one_made(ring: Callable[[], KeyRing]) -> None:
    key, other = ring().signing(), ring()
    assert other.known(key.id) is None
    assert other.find(key.id) == key
    assert other.known(key.id) == key


def test_a_key_is_replaced_after_a_day_and_then_good_until_its_tokens_have_expired(
    ring: Callable[[], KeyRing], clock: Clock
) -> None:
    first, second = ring(), ring()
    old = first.signing()
    clock.now += ROTATE_SECONDS - 1
    assert first.signing() == old
    clock.now += 1
    new = second.signing()
    assert new.id != old.id
    assert new.secret != old.secret
    assert first.signing() == new
    clock.now += TOKEN_SECONDS
    for worker in (first, second, ring()):
        assert worker.find(old.id) == old
        assert worker.find(new.id) == new
    clock.now += 61
    for worker in (first, second, ring()):
        assert worker.find(old.id) is None
        assert worker.find(new.id) == new


def test_on_a_full_disk_the_last_key_goes_on(driver: Driver, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "full")

    worker = KeyRing(secret_on(driver, layout.TOKEN_KEYS), clock)
    with monkeypatch.context() as full:
        full.setattr(driver, "write", refuse)
        with pytest.raises(OSError, match="full"):
            worker.signing()
    old = worker.signing()
    clock.now += ROTATE_SECONDS
    with monkeypatch.context() as full:
        full.setattr(driver, "write", refuse)
        assert worker.signing() == old
        assert worker.known(old.id) == old
    assert worker.signing() != old


@pytest.mark.parametrize("content", [b"", b"{", b"[{}]", b"[]", b"\xff\xfe", b"null", b'[{"id":1}]'])
def test_keys_that_cannot_be_read_are_made_anew(driver: Driver, ring: Callable[[], KeyRing], content: bytes) -> None:
    old = ring().signing()
    driver.write(layout.TOKEN_KEYS, content)
    worker = ring()
    assert worker.find(old.id) is None
    assert worker.signing().id != old.id
    assert ring().signing() == worker.signing()


def test_keys_that_were_deleted_are_made_anew(driver: Driver, ring: Callable[[], KeyRing]) -> None:
    worker = ring()
    old = worker.signing()
    driver.delete(layout.TOKEN_KEYS)
    assert worker.signing() != old
    assert worker.known(old.id) is None


def test_a_key_of_the_future_is_replaced(ring: Callable[[], KeyRing], clock: Clock) -> None:
    clock.now += 10 * 365 * 24 * 3600
    wrong = ring().signing()
    clock.now = 1_000_000_000.0
    assert ring().signing() != wrong


class Unwritable:
    """A store as on a read-only disk: what is there can be read, where that is allowed."""

    def __init__(self, content: bytes | None = None, *, readable: bool = True) -> None:
        self.content, self.readable = content, readable

    def read(self) -> bytes | None:
        if not self.readable:
            raise OSError(errno.EACCES, "no right to read")
        return self.content

    def change(self, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        raise OSError(errno.EROFS, "read-only")


@pytest.mark.parametrize("readable", [True, False])
def test_where_no_key_can_be_stored_all_workers_sign_with_the_spare_one(clock: Clock, readable: bool) -> None:
    rings = [KeyRing(Unwritable(readable=readable), clock, b"spare") for _ in range(4)]
    [key] = {ring.signing() for ring in rings}
    assert all(ring.known(key.id) == ring.find(key.id) == key for ring in rings)
    assert all(ring.find("another") is None for ring in rings)


def test_without_a_spare_key_the_error_is_the_callers(clock: Clock) -> None:
    ring = KeyRing(Unwritable(), clock)
    with pytest.raises(OSError, match="read-only"):
        ring.signing()


def test_a_spare_key_is_known_on_and_signs_no_more_once_a_key_can_be_stored(driver: Driver, clock: Clock) -> None:
    spare = KeyRing(Unwritable(), clock, b"spare").signing()
    ring = KeyRing(secret_on(driver, layout.TOKEN_KEYS), clock, b"spare")
    assert ring.signing() != spare
    assert ring.known(spare.id) == spare


def test_services_have_spare_keys_of_their_own(clock: Clock) -> None:
    key = KeyRing(Unwritable(), clock, b"one").signing()
    assert KeyRing(Unwritable(), clock, b"another").find(key.id) is None
