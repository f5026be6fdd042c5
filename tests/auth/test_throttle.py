"""The number of wrong passwords of an address, with a clock that the test sets."""

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyregistry.auth import throttle
from pyregistry.auth.throttle import (
    ADDRESS_RATE,
    ANSWERED_RATE,
    REFUSED_RATE,
    USER_RATE,
    Buckets,
    Rate,
    Throttle,
    network_of,
)

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


@dataclass
class Clock:
    """Seconds since anything."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _exhaust(limiter: Throttle, address: str, user: str, most: int = 1_000) -> int:
    for number in range(most):
        if limiter.wait(address, user):
            return number
        limiter.charge(address, user)
    raise AssertionError("never")


def test_ten_wrong_passwords_for_a_user_and_then_one_a_second(clock: Clock) -> None:
    limiter = Throttle(clock)
    assert _exhaust(limiter, HERE, "alice") == USER_RATE.burst == 10
    assert limiter.wait(HERE, "alice") == pytest.approx(1.0)
    for _ in range(5):
        clock.now += 1.001
        assert _exhaust(limiter, HERE, "alice") == 1
    clock.now += 60
    assert _exhaust(limiter, HERE, "alice") == USER_RATE.burst


def test_nobody_is_locked_out_for_what_others_do(clock: Clock) -> None:
    limiter = Throttle(clock)
    _exhaust(limiter, HERE, "alice")
    assert limiter.wait(HERE, "bob") == 0.0
    assert limiter.wait(ELSEWHERE, "alice") == 0.0


def test_a_flood_for_one_user_leaves_room_for_the_others_of_a_shared_address(clock: Clock) -> None:
    limiter = Throttle(clock)
    for _ in range(100 * 200):  # 200 a second for 100 seconds
        clock.now += 1 / 200
        if not limiter.wait(HERE, "alice"):
            limiter.charge(HERE, "alice")
        assert limiter.wait(HERE, "bob") == 0.0


def test_one_password_tried_on_many_users_is_stopped_by_the_address(clock: Clock) -> None:
    limiter = Throttle(clock)
    for number in range(ADDRESS_RATE.burst):
        assert limiter.wait(HERE, f"user{number}") == 0.0
        limiter.charge(HERE, f"user{number}")
    assert limiter.wait(HERE, "another") == pytest.approx(1 / ADDRESS_RATE.per_second)
    assert limiter.wait(ELSEWHERE, "another") == 0.0


def test_the_refusals_of_an_address_are_answered_at_once_up_to_a_rate(clock: Clock) -> None:
    limiter = Throttle(clock)
    answered = [limiter.is_answered_at_once(HERE) for _ in range(ANSWERED_RATE.burst + 50)]
    assert answered == [True] * ANSWERED_RATE.burst + [False] * 50
    assert limiter.is_answered_at_once(ELSEWHERE)
    clock.now += 1.001
    answered = [limiter.is_answered_at_once(HERE) for _ in range(50)]
    assert sum(answered) == ANSWERED_RATE.per_second


def test_what_was_right_is_not_counted(clock: Clock) -> None:
    limiter = Throttle(clock)
    for number in range(1_000):
        assert limiter.wait(HERE, f"user{number % 3}") == 0.0
        limiter.charge(HERE, f"user{number % 3}")
        limiter.refund(HERE, f"user{number % 3}")


def test_ten_seconds_of_200_refused_guesses_do_not_lock_a_user_out(clock: Clock) -> None:
    limiter = Throttle(clock)
    for _ in range(10 * 200):
        limiter.refuse(HERE, "alice")
    assert not limiter.is_locked_out(HERE, "alice")
    for _ in range(REFUSED_RATE.burst):
        limiter.refuse(HERE, "alice")
    assert limiter.is_locked_out(HERE, "alice")
    assert not limiter.is_locked_out(ELSEWHERE, "alice")
    assert not limiter.is_locked_out(HERE, "bob")
    clock.now += 1
    assert not limiter.is_locked_out(HERE, "alice")


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=200))
def test_a_bucket_never_lets_through_more_than_its_rate(steps: list[tuple[float, bool]]) -> None:
    clock = Clock(0.0)
    buckets = Buckets(Rate(5, 2.0), clock)
    times: list[float] = []
    for pause, insists in steps:
        clock.now += pause
        wait = buckets.wait("key")
        assert wait <= 0.5 + 1e-6  # no debts, however hard a client insists
        if not wait:
            times.append(clock.now)
        if not wait or insists:
            buckets.take("key")
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= 5 + 2.0 * (times[last] - times[first]) + 1 + 1e-6


def test_the_memory_for_it_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "TRACKED", 50)
    buckets = Buckets(Rate(1, 1.0), clock)
    for number in range(1_000):
        buckets.take(number)
    assert [number for number in range(1_000) if buckets.wait(number)] == list(range(950, 1_000))


@pytest.mark.parametrize(("wait", "text"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (59.5, "60")])
def test_retry_after_is_in_whole_seconds_and_never_too_early(wait: float, text: str) -> None:
    assert throttle.whole_seconds(wait) == text
    assert int(text) >= math.ceil(wait)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("2001:db8:1:3::6", "2001:db8:1:3::"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::"),
        ("", ""),
    ],
)
def test_an_ipv6_network_of_64_bits_is_one_address(address: str, network: str) -> None:
    assert network_of(address) == network
