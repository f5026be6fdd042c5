"""Cached responses equal those of the ordinary way: status, headers, bytes, line of the log and metrics.

Two requests that arrive together take the ordinary way, so that both can be compared.
"""

import asyncio
import errno
import os
import re
import shutil
import time
from pathlib import Path
from typing import NoReturn

import pytest

from pyregistry.storage.local.filesystem import FilesystemDriver
from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.auth.rules import CI, GUEST, bearer, start_with_rules, token_for
from tests.builders import digest_of, image, index
from tests.conftest import PREPARED, RegistryServer, StartRegistry
from tests.modes import fast_path_only
from tests.push import Client, push_image
from tests.raw import RawAnswer, RawConnection, ask, chunked, connected, request_head

pytestmark = fast_path_only("there are no cached responses")
ALICE = basic("alice", "secret")
IMAGE = image(b"layer")
INDEX = index(IMAGE)
LAYER = digest_of(b"layer")
NESTED = "app/manifests/blobs"

CACHED = [
    ("GET", "app/manifests/v1"),
    ("HEAD", "app/manifests/v1"),
    ("GET", "app/manifests/all"),
    ("GET", f"app/manifests/{IMAGE.digest}"),
    ("HEAD", f"app/manifests/{IMAGE.digest}"),
    ("HEAD", f"app/blobs/{LAYER}"),
    ("GET", f"{NESTED}/manifests/v1"),
    ("HEAD", f"{NESTED}/blobs/{LAYER}"),
]


async def fill(client: Client, data: Path) -> None:
    """Images whose links are older than a second, so that what is read of them may be remembered."""
    await push_image(client, "app", IMAGE, "v1")
    await push_image(client, "app", INDEX, "all")
    await push_image(client, NESTED, IMAGE, "v1")
    age(data)


def age(data: Path) -> None:
    then = time.time() - 10
    for link in data.rglob("link"):
        os.utime(link, (then, then))


def prepared(client: Client) -> list[str]:
    """Return the paths that took the ordinary way since the last call."""
    found = list(client.app[PREPARED])
    client.app[PREPARED].clear()
    return found


def log_lines(client: Client) -> list[str]:
    """Without ids and times."""
    assert isinstance(client.server, RegistryServer)
    lines = client.server.access_log.getvalue().decode().splitlines()
    return [re.sub(r"^(\S+) \S+ (\S+) \[.*?\]", r"\1 \2", line) for line in lines]


async def both_ways(
    client: Client, connection: RawConnection, method: str, path: str, headers: dict[str, str]
) -> tuple[RawAnswer, RawAnswer]:
    """The cached answer and the ordinary one, without what differs between any two answers."""
    head = request_head(method, path, headers)
    await connection.send(head)
    await connection.answer(method)  # remembered from now on
    prepared(client)
    await connection.send(head)
    cached = await connection.answer(method)
    assert prepared(client) == [], "went the ordinary way"
    await connection.send(head + head)
    ordinary = await connection.answer(method)
    await connection.answer(method)
    assert len(prepared(client)) == 2
    for answer in (cached, ordinary):
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", answer.headers.pop("Date"))
        if "X-Request-ID" not in headers:
            assert re.fullmatch("[0-9a-f]{16}", answer.headers.pop("X-Request-ID"))
    return cached, ordinary


def same(cached: RawAnswer, ordinary: RawAnswer) -> bool:
    """The order of headers says nothing."""
    return (cached.line, sorted(cached.headers.items()), cached.body) == (
        ordinary.line,
        sorted(ordinary.headers.items()),
        ordinary.body,
    )


@pytest.mark.parametrize(("method", "path"), CACHED)
async def test_a_cached_answer_is_the_ordinary_one(client: Client, tmp_path: Path, method: str, path: str) -> None:
    await fill(client, tmp_path / "data")
    headers = {"X-Request-ID": "a-1", "User-Agent": 'docker/28 "x"', "Accept": "text/plain", "Range": "bytes=0-1"}
    async with connected(client) as connection:
        cached, ordinary = await both_ways(client, connection, method, f"/v2/{path}", headers)
    assert cached.status == 200
    assert same(cached, ordinary)
    await asyncio.sleep(0.01)  # for the lines of the last turn
    first, *others = log_lines(client)[-4:]
    assert all(line == first for line in others)


async def test_headers_and_prefix_of_the_config_are_there(
    client: Client, start_registry: StartRegistry, tmp_path: Path
) -> None:
    await fill(client, tmp_path / "data")
    below = await start_registry(
        http={"prefix": "/team/", "headers": {"X-Two": ["one", "two"], "X-Line": ["a\nb"]}},
        pyregistry={"warnings": ["this ends soon"]},
    )
    async with connected(below) as connection:
        cached, ordinary = await both_ways(below, connection, "GET", "/team/v2/app/manifests/v1", {})
        assert cached.headers.getall("X-Two") == ["one", "two"]
        assert cached.headers["Warning"] == '299 - "this ends soon"'
        assert same(cached, ordinary)
        (await connection.request("GET", "/v2/app/manifests/v1")).assert_error(404, "NAME_UNKNOWN")


UNUSUAL: list[tuple[bytes, int]] = [
    (request_head("GET", "/v2/app/manifests/v1", {"If-None-Match": f'"{IMAGE.digest}"'}), 304),
    (request_head("GET", "/v2/app/manifests/v1", {"Expect": "100-continue"}), 200),
    (request_head("GET", "/v2/app/manifests/v1", {"Connection": "close"}), 200),
    (request_head("GET", "/v2/app/manifests/v1?x=1"), 200),
    (request_head("GET", "/v2/app/manifests/%76%31"), 200),
    (request_head("GET", "/v2/app/manifests/v1/"), 200),
    (request_head("GET", "/v2//app/manifests/v1"), 200),
    (request_head("GET", "//v2/app/manifests/v1"), 200),
    (request_head("GET", "/v2/app/manifests/"), 404),
    (request_head("GET", "/v2//manifests/v1"), 404),
    (request_head("GET", "/v2/APP/manifests/v1"), 400),
    (request_head("GET", "/v2/app/manifests/v2"), 404),
    (request_head("HEAD", "/v2/app/manifests/v2"), 404),
    (request_head("HEAD", f"/v2/app/blobs/{digest_of(b'none')}"), 404),
    (request_head("GET", f"/v2/app/blobs/{LAYER}"), 200),
    (request_head("POST", "/v2/app/manifests/v1"), 405),
    (request_head("OPTIONS", "/v2/app/manifests/v1"), 204),
    (request_head("GET", "/v2/app/manifests/v1", {"Content-Length": "3"}) + b"abc", 200),
    (request_head("GET", "/v2/app/manifests/v1", {"Transfer-Encoding": "chunked"}) + chunked(b"abc"), 200),
    (b"GET http://registry.test/v2/app/manifests/v1 HTTP/1.1\r\nHost: registry.test\r\n\r\n", 200),
    (b"GET /v2/app/manifests/v1 HTTP/1.0\r\n\r\n", 200),
]


@pytest.mark.parametrize(("request_bytes", "status"), UNUSUAL)
async def test_what_is_unusual_goes_the_ordinary_way(
    client: Client, tmp_path: Path, request_bytes: bytes, status: int
) -> None:
    await fill(client, tmp_path / "data")
    for _ in range(2):
        await ask(client, "GET", "/v2/app/manifests/v1")
    prepared(client)
    async with connected(client) as connection:
        await connection.request("GET", "/v2/app/manifests/v1")
        assert prepared(client) == []
        await connection.send(request_bytes)
        answer = await connection.answer(request_bytes.partition(b" ")[0].decode())
    assert answer.status == status
    assert len(prepared(client)) == 1


async def test_a_password_is_asked_for_and_its_user_is_logged(start_registry: StartRegistry, tmp_path: Path) -> None:
    write_htpasswd(tmp_path / "htpasswd", {"alice": "secret"})
    open_to_all = await start_registry()
    await fill(open_to_all, tmp_path / "data")
    client = await start_registry(auth=auth_section(tmp_path / "htpasswd"))
    async with connected(client) as connection:
        cached, ordinary = await both_ways(client, connection, "GET", "/v2/app/manifests/v1", ALICE)
        assert same(cached, ordinary)
        for wrong in ({}, basic("alice", "wrong"), {"Authorization": "Basic"}, {"Authorization": "Bearer x"}):
            refused = await connection.request("GET", "/v2/app/manifests/v1", wrong)
            assert refused.status == 401
            assert refused.headers["WWW-Authenticate"] == 'Basic realm="Test Registry"'
        twice = request_head("GET", "/v2/app/manifests/v1", ALICE)[:-2] + b"Authorization: Basic eDp5\r\n\r\n"
        await connection.send(twice)
        assert (await connection.answer()).status == 401
    line = f'127.0.0.1 alice "GET /v2/app/manifests/v1 HTTP/1.1" 200 {len(IMAGE.content)} "-" ""'
    assert log_lines(client)[:4] == [line] * 4


async def test_a_removed_user_is_out(start_registry: StartRegistry, tmp_path: Path) -> None:
    write_htpasswd(tmp_path / "htpasswd", {"alice": "secret", "bob": "other"})
    open_to_all = await start_registry()
    await fill(open_to_all, tmp_path / "data")
    client = await start_registry(auth=auth_section(tmp_path / "htpasswd"))
    async with connected(client) as connection:
        await both_ways(client, connection, "GET", "/v2/app/manifests/v1", ALICE)
        write_htpasswd(tmp_path / "htpasswd", {"bob": "other"})
        async with asyncio.timeout(5):
            while (await connection.request("GET", "/v2/app/manifests/v1", ALICE)).status == 200:
                await asyncio.sleep(0.1)


async def test_rules_decide_for_passwords_tokens_and_callers_without_a_name(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    open_to_all = await start_registry()
    for name in ("public/app", "ci/app"):
        await push_image(open_to_all, name, IMAGE, "v1")
    age(tmp_path / "data")
    client = await start_with_rules(start_registry, tmp_path)
    ci, public = "/v2/ci/app/manifests/v1", "/v2/public/app/manifests/v1"
    token = bearer(await token_for(client, CI, ["repository:ci/app:pull"]))
    for path, headers in ((ci, CI), (ci, token), (public, {}), (public, GUEST)):
        async with connected(client) as connection:
            cached, ordinary = await both_ways(client, connection, "GET", path, headers)
            assert cached.status == 200
            assert same(cached, ordinary)
    # Each of them is remembered now, and what they may not do is not.
    assert (await ask(client, "GET", ci, GUEST)).status == 403
    assert (await ask(client, "GET", ci)).status == 401
    assert (await ask(client, "GET", public, token)).status == 401


async def test_what_an_operator_removed_is_gone_and_what_was_moved_has_moved(client: Client, tmp_path: Path) -> None:
    await fill(client, tmp_path / "data")
    async with connected(client) as connection:
        await both_ways(client, connection, "GET", "/v2/app/manifests/v1", {})
        await push_image(client, "app", INDEX, "v1")
        assert (await connection.request("GET", "/v2/app/manifests/v1")).body == INDEX.content
        shutil.rmtree(tmp_path / "data/docker/registry/v2/repositories/app")
        (await connection.request("GET", "/v2/app/manifests/v1")).assert_error(404, "MANIFEST_UNKNOWN")


async def test_nobody_is_served_while_a_health_check_fails(start_registry: StartRegistry, tmp_path: Path) -> None:
    down = tmp_path / "down"
    client = await start_registry(health={"file": [{"file": str(down), "interval": "1s"}]})
    await fill(client, tmp_path / "data")
    async with connected(client) as connection:
        await both_ways(client, connection, "GET", "/v2/app/manifests/v1", {})
        down.touch()
        async with asyncio.timeout(30):
            while (await connection.request("GET", "/v2/app/manifests/v1")).status == 200:
                await asyncio.sleep(0.02)
        (await connection.request("GET", "/v2/app/manifests/v1")).assert_error(503, "UNAVAILABLE")


async def test_a_storage_that_fails_is_answered_500(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(client, tmp_path / "data")
    async with connected(client) as connection:
        await both_ways(client, connection, "GET", "/v2/app/manifests/v1", {})

        def fail(*_: object) -> NoReturn:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(FilesystemDriver, "stat", fail)
        (await connection.request("GET", "/v2/app/manifests/v1")).assert_error(500, "UNKNOWN")


async def test_who_reads_no_answers_is_not_sent_more_of_them(client: Client, tmp_path: Path) -> None:
    large = image(b"layer", annotations={"text": "x" * 60 * 1024})  # the largest that is answered from memory
    await push_image(client, "app", large, "large")
    age(tmp_path / "data")
    head = request_head("GET", "/v2/app/manifests/large")
    async with connected(client) as connection:
        await connection.request("GET", "/v2/app/manifests/large")
        for _ in range(200):
            await connection.send(head)
            await asyncio.sleep(0.001)
        waiting = [
            handler.transport.get_write_buffer_size()
            for handler in client.server.handler.connections
            if handler.transport is not None
        ]
        assert 0 < max(waiting) < 3 * len(large.content)  # the one that filled it, and one that waits
        for _ in range(200):
            assert (await connection.answer()).body == large.content


async def test_an_idle_connection_stays_for_the_time_of_keepalive_after_a_cached_answer(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    client = await start_registry(pyregistry={"limits": {"header-deadline": 0.7, "keepalive": 3.0}})
    await fill(client, tmp_path / "data")
    head = request_head("GET", "/v2/app/manifests/v1")
    async with connected(client) as connection:
        await connection.request("GET", "/v2/app/manifests/v1")
        prepared(client)
        for _ in range(3):
            await asyncio.sleep(1.2)
            await connection.send(head[:20])
            await asyncio.sleep(0.05)
            await connection.send(head[20:])
            assert (await connection.answer()).status == 200
        assert prepared(client) == []
        assert await connection.rest() == b""  # closed, within the deadline of `rest`
