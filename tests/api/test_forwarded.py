"""Headers of proxies about their clients: which count, for which of many addresses, and for how much text."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from pyregistry.api.http.forwarded import MAX_CHARACTERS, MAX_HOPS, TrustedProxies, first_words, unmapped
from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.builders import image
from tests.conftest import RegistryServer, StartRegistry
from tests.push import Client
from tests.raw import ask, connected

PROXIES = TrustedProxies(["10.0.0.0/8", "127.0.0.1", "2001:db8:a::/48", "::ffff:172.17.0.1", "unix"])
PEER = "10.0.0.1"


def headers_of(name: str, *values: str) -> "CIMultiDict[str]":
    return CIMultiDict([(name, value) for value in values])


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        pytest.param("192.0.2.9", ["198.51.100.7"], "192.0.2.9", id="a stranger is not believed"),
        pytest.param(PEER, [], PEER, id="a proxy that says nothing"),
        pytest.param(PEER, ["198.51.100.7"], "198.51.100.7", id="one hop"),
        pytest.param("172.17.0.1", ["198.51.100.7"], "198.51.100.7", id="a proxy that was named as mapped"),
        pytest.param("", ["198.51.100.7"], "198.51.100.7", id="through a unix socket"),
        pytest.param(PEER, ["1.1.1.1, 198.51.100.7"], "198.51.100.7", id="what the client wrote is left of it"),
        pytest.param(PEER, ["127.0.0.1, 198.51.100.7"], "198.51.100.7", id="the client claims to be a proxy"),
        pytest.param(PEER, ["1.1.1.1, 198.51.100.7, 10.9.9.9"], "198.51.100.7", id="two proxies"),
        pytest.param(PEER, ["1.1.1.1", "198.51.100.7"], "198.51.100.7", id="two lines"),
        pytest.param(PEER, ["198.51.100.7", "10.9.9.9"], "198.51.100.7", id="two proxies in two lines"),
        pytest.param(PEER, ["10.2.2.2, 10.9.9.9"], "10.2.2.2", id="proxies all the way: the farthest"),
        pytest.param(PEER, ["198.51.100.7, unknown"], PEER, id="a hop that is no address"),
        pytest.param(PEER, ["198.51.100.7, 10.9.9.9, _hidden, 10.2.2.2"], "10.2.2.2", id="the nearest that is known"),
        pytest.param(PEER, ["198.51.100.7,"], PEER, id="nothing at the end"),
        pytest.param(PEER, [""], PEER, id="nothing at all"),
        pytest.param(PEER, ["198.51.100.7:4711"], "198.51.100.7", id="with a port"),
        pytest.param(PEER, ["2001:db8::7"], "2001:db8::7", id="IPv6"),
        pytest.param(PEER, ["2001:DB8:0:0::7"], "2001:db8::7", id="IPv6 in another spelling"),
        pytest.param(PEER, ["[2001:db8::7]:4711"], "2001:db8::7", id="IPv6 with a port"),
        pytest.param(PEER, ["[2001:db8::7]"], "2001:db8::7", id="IPv6 in brackets"),
        pytest.param(PEER, ["1.1.1.1, 2001:db8:a::7, 10.1.1.1"], "1.1.1.1", id="a proxy with IPv6"),
        pytest.param(PEER, ["::ffff:198.51.100.7"], "198.51.100.7", id="IPv4 as IPv6"),
        pytest.param(PEER, ["1.1.1.1, ::ffff:10.3.3.3"], "1.1.1.1", id="a proxy as IPv6"),
        pytest.param(PEER, ["fe80::1%\x1b[31m"], PEER, id="a zone, which is free text"),
        pytest.param(PEER, ["0127.0.0.1"], PEER, id="octal, or not"),
    ],
)
def test_the_client_is_the_nearest_that_is_no_trusted_proxy(peer: str, said: list[str], client: str) -> None:
    assert PROXIES.client(peer, headers_of("X-Forwarded-For", *said)) == client


@pytest.mark.parametrize(
    ("said", "client"),
    [
        pytest.param(["for=198.51.100.7"], "198.51.100.7", id="one hop"),
        pytest.param(["For=1.1.1.1, FOR = 198.51.100.7;proto=https;by=10.0.0.1"], "198.51.100.7", id="parameters"),
        pytest.param(['for="[2001:db8::7]:4711";host="a.test"'], "2001:db8::7", id="quoted"),
        pytest.param(['for="198.51.100.7:80", for=10.3.3.3'], "198.51.100.7", id="two proxies"),
        pytest.param(['for="', "for=198.51.100.7"], "198.51.100.7", id="an open quote in a line before"),
        pytest.param(['for=", for=198.51.100.7'], "198.51.100.7", id="an open quote of the client's"),
        pytest.param(['for=1.1.1.1;x="a, for=198.51.100.7'], "198.51.100.7", id="an open quote in a parameter"),
        pytest.param(['for=198.51.100.7, for=10.3.3.3;x="a, b"'], "198.51.100.7", id="a comma in quotes"),
        pytest.param(["for=1.1.1.1;for=2.2.2.2"], PEER, id="twice"),
        pytest.param(["proto=https"], PEER, id="not said"),
        pytest.param(["for=unknown"], PEER, id="unknown"),
    ],
)
def test_forwarded_is_read_from_the_right_as_well(said: list[str], client: str) -> None:
    assert PROXIES.client(PEER, headers_of("Forwarded", *said)) == client


def test_x_forwarded_for_comes_first_since_proxies_pass_on_a_clients_forwarded() -> None:
    headers = CIMultiDict([("Forwarded", "for=1.1.1.1"), ("X-Forwarded-For", "198.51.100.7")])
    assert PROXIES.client(PEER, headers) == "198.51.100.7"


@given(st.lists(st.text(max_size=60), max_size=5), st.sampled_from(["X-Forwarded-For", "Forwarded"]))
def test_whatever_a_client_wrote_the_proxy_adds_its_address_behind_it(texts: list[str], name: str) -> None:
    last = "198.51.100.7" if name == "X-Forwarded-For" else "for=198.51.100.7;proto=https"
    appended = [*texts[:-1], f"{texts[-1]}, {last}"] if texts else [last]
    for lines in (appended, [*texts, last]):
        headers = headers_of(name, *lines)
        assert PROXIES.client(PEER, headers) == "198.51.100.7"
        assert len(list(first_words(headers))) == 2


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Forwarded-Proto", "X-Forwarded-Host"])
@pytest.mark.parametrize(
    "piece", ["10.1.1.1,", "for=10.1.1.1,", 'for="', ";;;;", "====", '\\"', ",,,,", "proto=", " ", "a=b;", "[", ":"]
)
@pytest.mark.parametrize("lines", [1, 120])
def test_work_is_bounded_however_much_a_client_writes(name: str, piece: str, lines: int) -> None:
    """Lines of code are counted, and none of them touches more than MAX_CHARACTERS at once."""
    least, most = (
        _lines_of_code(headers_of(name, *[piece * (MAX_CHARACTERS * factor // len(piece))] * lines))
        for factor in (2, 60)
    )
    assert most <= least + 10 * MAX_HOPS, "a look at an address, which may be remembered, takes ten lines"
    assert most < 4 * (MAX_CHARACTERS + MAX_HOPS) * MAX_HOPS


def _lines_of_code(headers: "CIMultiDict[str]") -> int:
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    proxies = TrustedProxies(["10.0.0.0/8"])
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        proxies.client(PEER, headers)
        list(first_words(headers))
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("::ffff:172.17.0.1", "172.17.0.1"),
        ("172.17.0.1", "172.17.0.1"),
        ("::1", "::1"),
        ("::ffff:x", "::ffff:x"),
        ("", ""),
    ],
)
def test_an_ipv4_address_is_written_as_one(address: str, plain: str) -> None:
    assert unmapped(address) == plain


async def _addresses_in_log(client: Client) -> list[str]:
    server = cast("RegistryServer", client.server)
    return [line.split()[0].decode() for line in server.access_log.getvalue().splitlines()]


Ask = Callable[[dict[str, str]], Any]


async def test_the_access_log_has_the_address_of_the_client_also_of_hot_answers(start_registry: StartRegistry) -> None:
    client = await start_registry(pyregistry={"trusted-proxies": ["127.0.0.1"], "sparse": True})
    manifest = image(b"layer")
    put = await ask(client, "PUT", "/v2/app/manifests/1", {"Content-Type": manifest.media_type}, manifest.content)
    assert put.status == 201, put
    async with connected(client) as connection:
        for number in range(3):  # on one connection, as proxies keep theirs
            forwarded = {"X-Forwarded-For": f"6.6.6.6, 198.51.100.{number}"}
            for target in ("/v2/app/manifests/1", "/v2/nothing", "/v2/app/manifests/1"):
                await connection.request("GET", target, forwarded)
    async with connected(client, source="127.0.0.2") as stranger:
        await stranger.request("GET", "/v2/app/manifests/1", {"X-Forwarded-For": "198.51.100.9"})
        await stranger.send(b"no HTTP\r\n\r\n")
        await stranger.rest()
    hops = [f"198.51.100.{number}" for number in range(3) for _ in range(3)]
    assert await _addresses_in_log(client) == ["127.0.0.1", *hops, "127.0.0.2", "127.0.0.2"]


async def test_without_the_key_the_address_is_that_of_the_connection(start_registry: StartRegistry) -> None:
    client = await start_registry()
    await ask(client, "GET", "/v2/", {"X-Forwarded-For": "198.51.100.7", "Forwarded": "for=198.51.100.7"})
    assert await _addresses_in_log(client) == ["127.0.0.1"]


async def test_wrong_passwords_are_counted_and_logged_for_the_client_behind_a_trusted_proxy(
    start_registry: StartRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_htpasswd(tmp_path / "htpasswd", {"alice": "a secret"})
    client = await start_registry(
        auth=auth_section(tmp_path / "htpasswd"), pyregistry={"trusted-proxies": ["127.0.0.1"]}
    )

    async def login(password: str, address: str) -> int:
        headers = {**basic("alice", password), "X-Forwarded-For": f"1.1.1.1, {address}"}
        return (await ask(client, "GET", "/v2/", headers)).status

    statuses = [await login(f"wrong {number}", "198.51.100.66") for number in range(14)]
    assert statuses[:10] == [401] * 10
    assert 429 in statuses
    assert '"address": "198.51.100.66"' in caplog.text
    assert "127.0.0.1" not in caplog.text
    assert await login("a secret", "198.51.100.7") == 200
    assert [await login(f"other {number}", "2001:db8::1") for number in range(5)] == [401] * 5
    # Of IPv6 all 64 bits of a network count as one.
    assert 429 in [await login(f"more {number}", f"2001:db8::{number + 2}") for number in range(8)]
