"""Logging in: right, wrong, malformed, often."""

import asyncio
import base64
import threading
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from pyregistry.auth.bcrypt_pool import WAITING, WAITING_PER_ADDRESS
from pyregistry.auth.credentials import ANSWER_SECONDS, Credentials
from pyregistry.auth.hashes import matches
from tests.auth.credentials import auth_section, basic, hash_of, write_htpasswd
from tests.auth.test_throttle import Clock
from tests.conftest import RegistryServer, StartRegistry
from tests.push import Client
from tests.raw import RawAnswer, ask, connected, request_head

pytestmark = pytest.mark.usefixtures("patient_pool")

_PASSWORD = "Correct-Horse-7431"
_WRONG = "Wrong-Battery-9962"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the throttle: under load ten guesses take longer than one is forgotten in."""
    made = Clock()
    monkeypatch.setattr(Credentials.__init__, "__defaults__", (made,))
    return made


@pytest.fixture
async def throttled(clock: Clock, start_registry: StartRegistry, tmp_path: Path) -> Client:
    """The registry of `guarded`, with the time of `clock`."""
    return await _start_guarded(start_registry, tmp_path)


@pytest.fixture
async def guarded(start_registry: StartRegistry, tmp_path: Path) -> Client:
    """A registry for alice, and for bob whose password has 100 bytes."""
    return await _start_guarded(start_registry, tmp_path)


async def _start_guarded(start_registry: StartRegistry, tmp_path: Path) -> Client:
    write_htpasswd(tmp_path / "htpasswd", {"alice": _PASSWORD, "bob": "b" * 100, "zoë": _PASSWORD})
    return await start_registry(auth=auth_section(tmp_path / "htpasswd", 'My "own" registry'))


async def _ping(client: Client, headers: dict[str, str]) -> RawAnswer:
    return await ask(client, "GET", "/v2/", headers)


def _encoded(pair: bytes) -> str:
    return base64.b64encode(pair).decode()


@pytest.mark.parametrize(
    ("user", "password"), [("alice", _PASSWORD), ("bob", "b" * 100), ("bob", "b" * 72), ("zoë", _PASSWORD)]
)
@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC", "Basic "])
async def test_the_right_password_lets_in(guarded: Client, user: str, password: str, scheme: str) -> None:
    header = basic(user, password)["Authorization"].replace("Basic", scheme)
    assert (await _ping(guarded, {"Authorization": header})).status == 200


_PAIR = f"alice:{_PASSWORD}".encode()
_STRANGERS: dict[str, str | None] = {
    "no header": None,
    "nothing in it": "",
    "only the scheme": "Basic",
    "another scheme": "Bearer " + _encoded(_PAIR),
    "digest": 'Digest username="alice"',
    "no base64": "Basic !!!!",
    "base64 with junk in it": "Basic " + _encoded(_PAIR)[:8] + "*" + _encoded(_PAIR)[8:],
    "the alphabet of URLs": "Basic " + base64.urlsafe_b64encode(b"alice:\xff\xff\xfe").decode(),
    "no padding": "Basic " + _encoded(b"alice:1").rstrip("="),
    "no colon": "Basic " + _encoded(b"alice"),
    "no user": "Basic " + _encoded(b":" + _PASSWORD.encode()),
    "no password": "Basic " + _encoded(b"alice:"),
    "the wrong password": "Basic " + _encoded(b"alice:" + _WRONG.encode()),
    "an unknown user": "Basic " + _encoded(b"mallory:" + _PASSWORD.encode()),
    "the user in capitals": "Basic " + _encoded(_PAIR.replace(b"alice", b"Alice")),
    "a space behind the user": "Basic " + _encoded(_PAIR.replace(b"alice", b"alice ")),
    "NUL behind the password": "Basic " + _encoded(_PAIR + b"\0"),
    "NUL within the password": "Basic " + _encoded(_PAIR + b"\0more"),
    "NUL behind the user": "Basic " + _encoded(_PAIR.replace(b"alice", b"alice\0")),
    "a newline behind the password": "Basic " + _encoded(_PAIR + b"\n"),
    "a longer password": "Basic " + _encoded(_PAIR + b"x"),
    "a shorter password": "Basic " + _encoded(_PAIR[:-1]),
    "a password of 1,025 bytes": "Basic " + _encoded(b"bob:" + b"b" * 1_025),
    "a user of 256 bytes": "Basic " + _encoded(b"a" * 256 + b":x"),
    "a user that is not UTF-8": "Basic " + _encoded(b"\xff\xfe:x"),
    "8,000 bytes": "Basic " + "A" * 8_000,
    "the pair in plain text": "Basic " + _PAIR.decode(),
    "two in one line": f"Basic {_encoded(_PAIR)}, Basic {_encoded(_PAIR)}",
}


@pytest.mark.parametrize("header", _STRANGERS.values(), ids=_STRANGERS)
async def test_everybody_else_gets_one_and_the_same_401(guarded: Client, header: str | None) -> None:
    answer = await _ping(guarded, {} if header is None else {"Authorization": header})
    assert answer.assert_error(401, "UNAUTHORIZED") == {"code": "UNAUTHORIZED", "message": "authentication required"}
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="My \\"own\\" registry"'
    assert set(answer.headers) == {
        *("Content-Type", "Content-Length", "Date", "Server", "WWW-Authenticate", "Docker-Distribution-Api-Version"),
        "X-Request-ID",
    }


async def test_a_header_that_a_proxy_repeats_counts_once_and_two_different_ones_are_none(guarded: Client) -> None:
    right, wrong = (f"Authorization: {basic('alice', word)['Authorization']}\r\n" for word in (_PASSWORD, _WRONG))
    for lines, status in ((right + right, 200), (wrong + wrong, 401), (right + wrong, 401), (wrong + right, 401)):
        async with connected(guarded) as connection:
            await connection.send(f"GET /v2/ HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
            assert (await connection.answer()).status == status


async def test_credentials_are_asked_for_before_anything_is_told(guarded: Client) -> None:
    for method, path in [
        ("GET", "/v2/alice/tags/list"),
        ("GET", "/v2/BAD/tags/list"),
        ("GET", "/v2/app/tags/list?n=x"),
        ("PUT", "/v2/app/manifests/.bad"),
        ("PATCH", "/v2/app/blobs/uploads/none"),
        ("GET", "/nowhere"),
        ("TRACE", "/v2/"),
    ]:
        (await ask(guarded, method, path)).assert_error(401, "UNAUTHORIZED")
        assert (await ask(guarded, method, path, basic("alice", _PASSWORD))).status != 401


async def test_without_auth_in_the_config_a_header_is_ignored(client: Client) -> None:
    for header in _STRANGERS.values():
        assert (await _ping(client, {} if header is None else {"Authorization": header})).status == 200


@pytest.mark.parametrize("user", ["alice", "mallory"])
async def test_the_eleventh_wrong_password_is_answered_429_for_known_and_unknown_alike(
    throttled: Client, user: str
) -> None:
    for number in range(10):
        (await _ping(throttled, basic(user, f"{_WRONG}{number}"))).assert_error(401, "UNAUTHORIZED")
    answer = await ask(throttled, "PUT", "/v2/app/manifests/1", basic(user, _WRONG), b"x" * 100_000)
    assert answer.assert_error(429, "TOOMANYREQUESTS") == {
        "code": "TOOMANYREQUESTS",
        "message": "too many requests",
        "detail": "too many wrong passwords, or too many at once",
    }
    assert answer.headers["Retry-After"] == "1"
    assert "WWW-Authenticate" not in answer.headers


async def test_who_was_refused_gets_in_after_the_time_that_retry_after_says(throttled: Client, clock: Clock) -> None:
    answers = await asyncio.gather(*(_ping(throttled, basic("alice", f"{_WRONG}{number}")) for number in range(12)))
    assert Counter(answer.status for answer in answers) == {401: 10, 429: 2}
    answer = await _ping(throttled, basic("alice", _PASSWORD))
    assert answer.status == 429
    clock.now += int(answer.headers["Retry-After"])
    assert (await _ping(throttled, basic("alice", _PASSWORD))).status == 200


async def test_a_flood_of_guesses_keeps_out_neither_the_user_nor_others(throttled: Client, clock: Clock) -> None:
    alice, bob = basic("alice", _PASSWORD), basic("bob", "b" * 100)
    assert (await _ping(throttled, alice)).status == 200
    statuses: list[int] = []

    async def guess(number: int) -> None:
        forged = {"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": f"for=192.0.2.{number}"}
        statuses.append((await _ping(throttled, {**basic("alice", f"{_WRONG}{number}"), **forged})).status)

    for begin in range(0, 180, 30):
        await asyncio.gather(*(guess(number) for number in range(begin, begin + 30)))
    assert Counter(statuses) == {401: 10, 429: 170}
    clock.now += ANSWER_SECONDS  # what was answered from memory until then is asked again
    assert (await _ping(throttled, alice)).status == 200
    assert (await _ping(throttled, bob)).status == 200
    async with connected(throttled, source="127.0.0.9") as connection:
        assert (await connection.request("GET", "/v2/", alice)).status == 200


@pytest.fixture
async def costly(start_registry: StartRegistry, tmp_path: Path) -> Client:
    """One check of alice's password takes about a fifth of a second of a processor."""
    write_htpasswd(tmp_path / "htpasswd", {"alice": _PASSWORD}, cost=12)
    return await start_registry(auth=auth_section(tmp_path / "htpasswd"))


async def test_a_password_that_was_right_once_is_not_hashed_again(costly: Client) -> None:
    begin = time.process_time()
    hash_of(_PASSWORD, cost=12)
    one_hash = time.process_time() - begin
    alice = basic("alice", _PASSWORD)
    assert (await _ping(costly, alice)).status == 200
    begin = time.process_time()
    for _ in range(50):
        assert (await _ping(costly, alice)).status == 200
    assert time.process_time() - begin < 25 * one_hash
    assert (await _ping(costly, basic("alice", _WRONG))).status == 401


async def test_an_unknown_user_costs_as_much_as_a_wrong_password(costly: Client) -> None:
    times = {}
    for user in ["alice", "mallory"]:
        begin = time.process_time()
        assert (await _ping(costly, basic(user, _WRONG))).status == 401
        times[user] = time.process_time() - begin
    assert times["mallory"] > 0.3 * times["alice"]


async def test_other_requests_are_served_while_passwords_are_hashed(costly: Client) -> None:
    alice = basic("alice", _PASSWORD)
    assert (await _ping(costly, alice)).status == 200
    flood = [asyncio.create_task(_ping(costly, basic("alice", f"guess {number}"))) for number in range(3)]
    await asyncio.sleep(0.01)
    assert (await _ping(costly, alice)).status == 200
    assert (await ask(costly, "GET", "/v2/none/tags/list", alice)).status == 404
    assert not all(guess.done() for guess in flood)
    assert {answer.status for answer in await asyncio.gather(*flood)} == {401}


async def test_nothing_of_a_credential_gets_into_any_log(guarded: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    secrets = [_PASSWORD, _WRONG, "b" * 72]
    for user, password in [("alice", _PASSWORD), ("alice", _WRONG), ("mallory", _PASSWORD), ("bob", "b" * 100)]:
        headers = basic(user, password)
        secrets.append(headers["Authorization"].removeprefix("Basic "))
        for method, path in [
            ("GET", "/v2/"),
            ("POST", f"/v2/app/blobs/uploads/?account={user}&password={password}"),
            ("GET", "/v2/BAD/tags/list"),
            ("GET", f"/nowhere?token={password}"),
        ]:
            await ask(guarded, method, path, headers)
        async with connected(guarded) as connection:
            await connection.send(
                f"GET /v2/ HTTP/1.1\r\nAuthorization: {headers['Authorization']}\r\n\0\r\n\r\n".encode()
            )
            await connection.rest()
    assert "alice" in caplog.text
    assert isinstance(guarded.server, RegistryServer)
    access_log = guarded.server.access_log.getvalue().decode()
    assert " alice [" in access_log
    for text in [access_log, *(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)]:
        assert not [secret for secret in secrets if secret in text]


async def test_the_401_of_a_repository_names_it_and_the_action_as_the_cncf_registry_does(guarded: Client) -> None:
    answer = await ask(guarded, "GET", "/v2/team/app/manifests/latest")
    wanted = [{"Type": "repository", "Class": "", "Name": "team/app", "Action": "pull"}]
    assert answer.assert_error(401, "UNAUTHORIZED")["detail"] == wanted


async def test_ten_addresses_that_guess_do_not_refuse_the_login_of_another(
    start_registry: StartRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has as many guesses in flight as one address may have; together they are more than all may have."""
    may_check = threading.Event()

    def check_later(password: bytes, stored: bytes) -> bool:
        may_check.wait(120)
        return matches(password, stored)

    monkeypatch.setattr("pyregistry.auth.bcrypt_pool.matches", check_later)
    users = {f"user{number}": _PASSWORD for number in range(WAITING_PER_ADDRESS)}
    write_htpasswd(tmp_path / "htpasswd", users)
    client = await start_registry(auth=auth_section(tmp_path / "htpasswd"))
    too_many = 10 * WAITING_PER_ADDRESS - WAITING - 1  # one is checked
    assert too_many > 0

    async with AsyncExitStack() as stack:
        stack.callback(may_check.set)
        answers = set()
        for source in range(2, 12):
            for user in users:
                guessing = await stack.enter_async_context(connected(client, source=f"127.0.0.{source}"))
                await guessing.send(request_head("GET", "/v2/", basic(user, f"{_WRONG}{source}")))
                answers.add(asyncio.create_task(guessing.answer()))
        stack.callback(lambda: [task.cancel() for task in answers])
        await _refused(answers, too_many)
        login = asyncio.create_task(_ping(client, basic("user0", _PASSWORD)))
        await _refused(answers, too_many + 1)
        may_check.set()
        assert (await login).status == 200


async def _refused(answers: set[asyncio.Task[RawAnswer]], number: int) -> None:
    """Wait until that many were answered 429."""
    async with asyncio.timeout(120):
        while sum(not task.exception() and task.result().status == 429 for task in answers if task.done()) < number:
            await asyncio.sleep(0.01)
