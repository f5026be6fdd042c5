"""The memory of credentials, by counting what bcrypt is asked for."""

import asyncio
import base64
import gc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from pyregistry.auth import credentials
from pyregistry.auth.access import Principal
from pyregistry.auth.credentials import ANSWER_SECONDS, RIGHT_SECONDS, WRONG_SECONDS, Credentials, Users
from pyregistry.auth.hashes import matches
from pyregistry.auth.throttle import ADDRESS_RATE, ANSWERED_RATE, REFUSED_RATE, USER_RATE
from pyregistry.common.bounded_cache import BoundedCache
from pyregistry.oci.errors import RegistryError, TooManyRequests, Unauthorized
from tests.auth.credentials import basic, hash_of
from tests.auth.test_throttle import ELSEWHERE, HERE, Clock

USERS = Users({"alice": hash_of("secret").encode(), "bob": hash_of("another").encode()})


class File:
    """The users of a moment."""

    def __init__(self) -> None:
        self.users = USERS


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The cost of each hash that was computed."""
    costs: list[int] = []

    def counted(password: bytes, stored: bytes) -> bool:
        costs.append(int(stored[4:6]))
        return matches(password, stored)

    monkeypatch.setattr("pyregistry.auth.bcrypt_pool.matches", counted)
    return costs


@pytest.fixture
def file() -> File:
    return File()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@dataclass
class Door:
    """The two ways in: by the header of any request, or by user and password as the token endpoint gets them."""

    credentials: Credentials
    by_header: bool

    async def enter(self, user: str, password: str, address: str) -> Principal:
        secret = password.encode(errors="surrogatepass")
        if not self.by_header:
            return await self.credentials.verify(user, secret, address)
        header = basic(user.encode(errors="surrogatepass"), secret)["Authorization"]
        return await self.credentials.authenticate([header], address)


@pytest.fixture(params=[True, False], ids=["header", "password"])
async def known(
    request: pytest.FixtureRequest, file: File, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Door]:
    monkeypatch.setattr(credentials, "DELAY_SECONDS", 0)
    made = Credentials(lambda: file.users, clock)
    yield Door(made, request.param)
    made.close()


@pytest.fixture
def delayed(known: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusals that are not answered at once wait without end; elsewhere here, they do not wait."""
    monkeypatch.setattr(credentials, "DELAY_SECONDS", 3_600)


async def _login(known: Door, user: str, password: str, address: str = HERE) -> str:
    try:
        principal = await known.enter(user, password, address)
    except RegistryError as error:
        refused = error
    else:
        assert principal.name == user
        return "200"
    if isinstance(refused, TooManyRequests):
        assert int(refused.headers["Retry-After"]) >= 1
    else:
        assert (type(refused), refused.detail, refused.headers) == (Unauthorized, None, {})
    return str(refused.status)


async def _guess_until_refused(known: Door, user: str = "alice", address: str = HERE) -> int:
    for number in range(1_000):
        answer = await _login(known, user, f"guess {number} {user}", address)
        if answer != "401":
            assert answer == "429"
            return number
    raise AssertionError("never")


async def test_a_right_password_is_hashed_once_and_again_after_five_minutes_without_use(
    known: Door, clock: Clock, hashes: list[int]
) -> None:
    for _ in range(100):
        assert await _login(known, "alice", "secret") == "200"
        assert await _login(known, "alice", "secret", ELSEWHERE) == "200"
        clock.now += RIGHT_SECONDS * 0.9
    assert len(hashes) == 1
    clock.now += RIGHT_SECONDS * 0.2
    assert await _login(known, "alice", "secret") == "200"
    assert len(hashes) == 2


async def test_a_wrong_password_is_hashed_once_in_ten_seconds(known: Door, clock: Clock, hashes: list[int]) -> None:
    for number in range(50):
        assert await _login(known, "alice", "wrong") == "401"
        assert await _login(known, "nobody", "wrong") == "401"
        assert len(hashes) == 2 * (1 + number // 10)
        clock.now += WRONG_SECONDS / 10 + 0.001


async def test_twenty_requests_at_once_are_one_hash(known: Door, hashes: list[int]) -> None:
    answers = await asyncio.gather(*(_login(known, "alice", "secret") for _ in range(20)))
    assert set(answers) == {"200"}
    answers = await asyncio.gather(*(_login(known, "alice", "wrong") for _ in range(20)))
    assert set(answers) == {"401"}
    assert len(hashes) == 2


async def test_one_that_gives_up_does_not_take_the_others_with_it(known: Door, hashes: list[int]) -> None:
    tasks = [asyncio.create_task(_login(known, "alice", "secret")) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    assert await asyncio.gather(*tasks[1:]) == ["200", "200"]
    assert len(hashes) == 1


async def test_a_changed_password_and_a_removed_user_are_out_with_the_next_request(known: Door, file: File) -> None:
    assert await _login(known, "alice", "secret") == "200"
    assert await _login(known, "bob", "another") == "200"
    file.users = Users({"alice": hash_of("changed").encode()})
    assert await _login(known, "alice", "secret") == "401"
    assert await _login(known, "alice", "changed") == "200"
    assert await _login(known, "bob", "another") == "401"
    file.users = USERS
    assert await _login(known, "bob", "another") == "200"


async def test_a_user_removed_while_the_password_is_hashed_does_not_get_in(known: Door, file: File) -> None:
    login = asyncio.create_task(_login(known, "bob", "another"))
    await asyncio.sleep(0)
    file.users = Users({"alice": USERS.hashes["alice"]})
    assert await login == "401"


async def test_ten_wrong_passwords_are_answered_401_and_the_next_429(known: Door, hashes: list[int]) -> None:
    assert await _guess_until_refused(known) == USER_RATE.burst
    assert await _login(known, "alice", "secret") == "429"  # or a guess would be told from the right one
    assert len(hashes) == USER_RATE.burst


async def test_an_unknown_user_is_refused_after_as_many(known: Door, hashes: list[int]) -> None:
    assert await _guess_until_refused(known, "nobody") == USER_RATE.burst
    assert len(hashes) == USER_RATE.burst


async def test_guesses_side_by_side_are_counted_before_they_are_known_to_be_wrong(
    known: Door, hashes: list[int]
) -> None:
    answers = await asyncio.gather(*(_login(known, "alice", f"guess {number}") for number in range(100)))
    assert Counter(answers) == {"401": USER_RATE.burst, "429": 100 - USER_RATE.burst}
    assert len(hashes) == USER_RATE.burst


async def test_whoever_is_flooded_with_guesses_is_not_locked_out(known: Door, clock: Clock) -> None:
    assert await _login(known, "alice", "secret") == "200"
    await _guess_until_refused(known)
    for number in range(2_000):
        assert await _login(known, "alice", f"more {number}") == "429"
    assert await _login(known, "alice", "secret") == "200", "remembered, at the same address"
    assert await _login(known, "bob", "another") == "200", "another user, at the same address"
    assert await _login(known, "alice", "secret", ELSEWHERE) == "200", "another address"


@pytest.mark.usefixtures("delayed")
async def test_many_refusals_of_an_address_are_delayed_and_those_of_others_are_not(known: Door) -> None:
    guesses = {asyncio.create_task(_login(known, "alice", f"guess {n}")) for n in range(ANSWERED_RATE.burst + 20)}
    answered: set[asyncio.Task[str]] = set()
    while len(answered) < ANSWERED_RATE.burst:
        done, guesses = await asyncio.wait(guesses, return_when=asyncio.FIRST_COMPLETED)
        answered |= done
    assert await _login(known, "alice", "wrong", ELSEWHERE) == "401"
    assert await _login(known, "alice", "secret", ELSEWHERE) == "200"
    assert await _login(known, "bob", "another") == "200", "at the same address, and not refused"
    assert len(guesses) == 20
    assert not any(guess.done() for guess in guesses)
    for guess in guesses:
        guess.cancel()


@pytest.mark.usefixtures("delayed")
async def test_a_wrong_password_that_is_remembered_is_delayed_as_well(known: Door) -> None:
    for _ in range(ANSWERED_RATE.burst):
        assert await _login(known, "alice", "old") == "401"
    another = asyncio.create_task(_login(known, "alice", "old"))
    assert await _login(known, "bob", "another") == "200"
    assert not another.done()
    another.cancel()


async def test_a_remembered_credential_does_not_answer_an_address_that_guesses(known: Door) -> None:
    """Else the one guess that is not refused would be the right one, found as fast as HTTP goes."""
    assert await _login(known, "alice", "secret", HERE) == "200"
    await _guess_until_refused(known, address=ELSEWHERE)
    assert await _login(known, "alice", "secret", ELSEWHERE) == "429"
    assert await _login(known, "alice", "secret", HERE) == "200"


async def test_nor_does_it_without_end_where_it_was_used_before(known: Door, clock: Clock) -> None:
    assert await _login(known, "alice", "secret") == "200"
    await _guess_until_refused(known)
    for number in range(REFUSED_RATE.burst):
        assert await _login(known, "alice", f"more {number}") == "429"
    assert await _login(known, "alice", "secret") == "429"
    clock.now += 1
    assert await _login(known, "alice", "secret") == "200"


async def test_a_login_under_way_is_not_joined_by_an_address_that_guesses(known: Door) -> None:
    await _guess_until_refused(known, address=ELSEWHERE)
    login = asyncio.create_task(_login(known, "alice", "secret", HERE))
    await asyncio.sleep(0)
    assert await _login(known, "alice", "secret", ELSEWHERE) == "429"
    assert await login == "200"


async def test_thirty_users_behind_one_proxy_log_in_at_the_same_time(known: Door, file: File) -> None:
    file.users = Users({f"user{number}": hash_of(f"{number}").encode() for number in range(30)})
    for _ in range(5):
        answers = await asyncio.gather(*(_login(known, f"user{number}", f"{number}") for number in range(30)))
        assert set(answers) == {"200"}


async def test_many_users_tried_from_one_address_are_stopped(known: Door) -> None:
    answers = Counter([await _login(known, f"user{number}", "Summer2026") for number in range(ADDRESS_RATE.burst + 20)])
    assert answers == {"401": ADDRESS_RATE.burst, "429": 20}
    assert await _login(known, "bob", "another", ELSEWHERE) == "200"


@pytest.mark.parametrize(
    ("user", "password"),
    [("", "x"), ("a" * 256, "x"), ("ä" * 128, "x"), ("alice", "x" * 1_025), ("alice", "secret\0"), ("\udcff", "x")],
    ids=["no user", "256 bytes", "256 bytes in UTF-8", "1025 bytes", "NUL", "half a surrogate"],
)
async def test_what_cannot_be_a_credential_is_refused(known: Door, user: str, password: str) -> None:
    assert await _login(known, user, password) == "401"


async def test_a_wrong_password_costs_the_same_whatever_the_cost_of_the_user(hashes: list[int]) -> None:
    costs = {"cheap": 4, "middle": 6, "dear": 8}
    users = Users({user: hash_of("secret", cost).encode() for user, cost in costs.items()})
    credentials = Credentials(lambda: users)
    rounds = {}
    for user in [*costs, "nobody"]:
        hashes.clear()
        assert await _login(Door(credentials, by_header=True), user, "wrong") == "401"
        rounds[user] = sum(2**cost for cost in hashes)
    credentials.close()
    assert set(rounds.values()) == {2**8}, rounds


async def test_a_password_in_use_all_the_time_is_hashed_once(known: Door, clock: Clock, hashes: list[int]) -> None:
    begin = clock.now
    while clock.now < begin + 2 * RIGHT_SECONDS:
        assert await _login(known, "alice", "secret") == "200"
        clock.now += ANSWER_SECONDS * 0.6
    assert await _login(known, "alice", "secret", ELSEWHERE) == "200"
    assert len(hashes) == 1


async def test_one_header_from_one_address_is_read_once_a_second(
    file: File, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    real = base64.b64decode

    def b64decode(text: str, *, validate: bool) -> bytes:
        reads.append(text)
        return real(text, validate=validate)

    monkeypatch.setattr(base64, "b64decode", b64decode)
    door = Door(Credentials(lambda: file.users, clock), by_header=True)
    for _ in range(10):
        for _ in range(100):
            assert await _login(door, "alice", "secret") == "200"
        clock.now += ANSWER_SECONDS
    door.credentials.close()
    assert len(reads) == 10


async def test_no_credential_can_be_found_in_the_memory_of_them(known: Door) -> None:
    secret, guess = "secret", "wr0ng guess"
    for password in (secret, guess):
        for address in (HERE, ELSEWHERE):
            await _login(known, "alice", password, address)
    header = basic("alice", secret)["Authorization"].partition(" ")[2]
    guessed = basic("alice", guess)["Authorization"].partition(" ")[2]
    texts = list(_texts_below(known.credentials))
    assert any(b"alice" in text for text in texts), "the search finds what is there"
    assert [text for text in texts if any(word.encode() in text for word in (secret, guess, header, guessed))] == []


def _texts_below(found: object) -> Iterator[bytes]:
    """All strings that an object of ours leads to, through other such objects and containers."""
    todo, seen = [found], set()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, str | bytes):
            yield each.encode(errors="surrogatepass") if isinstance(each, str) else each
        elif isinstance(each, dict | list | tuple | set) or type(each).__module__.startswith("pyregistry."):
            todo += gc.get_referents(each)


async def test_what_is_too_old_leaves_the_memory(known: Door, clock: Clock, file: File) -> None:
    for number in range(50):
        assert await _login(known, "alice", "secret", f"127.0.0.{number}") == "200"
    clock.now += RIGHT_SECONDS
    assert await _login(known, "bob", "another") == "200"
    remembered = [each for each in vars(known.credentials).values() if isinstance(each, BoundedCache)]
    assert sum(map(len, remembered)) <= len(remembered)


def test_what_is_remembered_is_bounded_and_the_least_used_goes_first() -> None:
    small = BoundedCache[bytes, bool](limit=5, seconds=60.0, clock=Clock())
    for number in range(100):
        small.put(bytes([number]), True)
    assert [number for number in range(100) if bytes([number]) in small] == [95, 96, 97, 98, 99]
    small.put(bytes([95]), True)
    small.put(b"new", True)
    assert bytes([95]) in small
    assert bytes([96]) not in small
