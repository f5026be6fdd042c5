"""`Location`: absolute where scheme and host are known, as clients of the CNCF registry expect; else a path."""

from typing import Any
from urllib.parse import urljoin

import pytest

from tests.builders import digest_of, index
from tests.conftest import StartRegistry
from tests.push import Client
from tests.raw import ask, send_bytes

_BLOB = b"hello"
_DIGEST = digest_of(_BLOB)
_INDEX = index()


def _forwarded(host: str, port: str) -> dict[str, str]:
    return {"X-Forwarded-Proto": "https", "X-Forwarded-Host": host, "X-Forwarded-Port": port}


_HEADERS: dict[str, tuple[dict[str, str], str]] = {
    "the Host of the request": ({}, "http://registry.test"),
    "a Host with a port": ({"Host": "registry.test:5000"}, "http://registry.test:5000"),
    "an address": ({"Host": "[2001:db8::1]:5000"}, "http://[2001:db8::1]:5000"),
    "a scheme": ({"X-Forwarded-Proto": "https"}, "https://registry.test"),
    "a scheme in capitals": ({"X-Forwarded-Proto": "HTTPS"}, "https://registry.test"),
    "scheme and host": ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "it.test:8"}, "https://it.test:8"),
    "several proxies": ({"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "it.test, b"}, "https://it.test"),
    "Forwarded": ({"Forwarded": "for=1.2.3.4;host=it.test;proto=https"}, "https://it.test"),
    "Forwarded with a scheme alone": ({"Forwarded": "proto=http"}, "http://registry.test"),
    "both, of which X-Forwarded comes first": (
        {"Forwarded": "host=b.test;proto=http", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "a.test"},
        "https://a.test",
    ),
    "a port next to the host": (_forwarded("it.test", "8443"), "https://it.test:8443"),
    "a port next to a host that has one": (_forwarded("it.test:5000", "8443"), "https://it.test:5000"),
    "a port next to an address": (_forwarded("[2001:db8::1]", "8443"), "https://[2001:db8::1]:8443"),
    "a port next to an address that has one": (_forwarded("[2001:db8::1]:5", "8443"), "https://[2001:db8::1]:5"),
    "the port of https": (_forwarded("it.test", "443"), "https://it.test"),
    "the port of a proxy behind another": (_forwarded("it.test", "80"), "https://it.test"),
    "ports of several proxies": (_forwarded("it.test", "8443 , 80"), "https://it.test:8443"),
    "a port that is none": (_forwarded("it.test", "abcd"), "https://it.test"),
    "a port that is too large": (_forwarded("it.test", "65536"), "https://it.test"),
    "port 0": (_forwarded("it.test", "0"), "https://it.test"),
    "an empty port": (_forwarded("it.test", ""), "https://it.test"),
    "a port without a host": (
        {"X-Forwarded-Proto": "https", "X-Forwarded-Port": "8443"},
        "https://registry.test",
    ),
    "a host without a scheme": ({"X-Forwarded-Host": "it.test"}, ""),
    "a proxy that says nothing else": ({"Via": "1.1 proxy"}, ""),
    "a proxy that names the client alone": ({"X-Forwarded-For": "192.0.2.1"}, ""),
    "Forwarded without a scheme": ({"Forwarded": "for=192.0.2.1;host=it.test"}, ""),
    "a scheme that is none": ({"X-Forwarded-Proto": "ftp"}, ""),
    "a host that is none": ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "a b"}, "https://registry.test"),
    "hosts that are invalid": ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "a/b", "Host": "a b"}, ""),
    "no Host": ({"Host": ""}, ""),
    "a Host that is none": ({"Host": 'a"b'}, ""),
    "a Host with a path": ({"Host": "registry.test/evil"}, ""),
    "a Host with a user": ({"Host": "user@registry.test"}, ""),
    "headers that are not read": (
        {"X-Forwarded-Prefix": "/evil", "X-Original-URL": "/evil", "X-HTTP-Method-Override": "DELETE"},
        "http://registry.test",
    ),
}


async def _locations(client: Client, headers: dict[str, str], prefix: str = "") -> list[str]:
    """Every Location of a push."""
    uploads = f"{prefix}/v2/team/app/blobs/uploads/"
    started = await ask(client, "POST", uploads, headers)
    path = f"{uploads}{started.headers['Docker-Upload-Uuid']}"
    answers = [
        started,
        await ask(client, "PATCH", path, headers, _BLOB),
        await ask(client, "GET", path, headers),
        await ask(client, "PATCH", path, {**headers, "Content-Range": "0-4"}, _BLOB),
        await ask(client, "PUT", f"{path}?digest={_DIGEST}", headers),
        await ask(client, "POST", f"{uploads}?digest={_DIGEST}", headers, _BLOB),
        await ask(client, "POST", f"{uploads}?mount={_DIGEST}&from=team/app", headers),
        await ask(client, "PUT", f"{prefix}/v2/team/app/manifests/latest", headers, _INDEX.content),
    ]
    assert [answer.status for answer in answers] == [202, 202, 204, 416, 201, 201, 201, 201]
    return [answer.headers["Location"] for answer in answers]


def _assert_all_begin_with(base: str, locations: list[str]) -> None:
    upload, last = locations[0].partition("?")[0], locations[-1]
    assert upload.startswith(f"{base}/v2/team/app/blobs/uploads/")
    assert locations[:4] == [f"{upload}?_state=0", *[f"{upload}?_state=5"] * 3]
    assert set(locations[4:-1]) == {f"{base}/v2/team/app/blobs/{_DIGEST}"}
    assert last == f"{base}/v2/team/app/manifests/{_INDEX.digest}"


@pytest.mark.parametrize(("headers", "base"), _HEADERS.values(), ids=_HEADERS)
async def test_every_location_has_the_scheme_and_host_that_the_client_used(
    client: Client, headers: dict[str, str], base: str
) -> None:
    _assert_all_begin_with(base, await _locations(client, headers))


_CONFIGS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a host": ({"host": "https://r.test"}, "", "https://r.test"),
    "a host with a path": ({"host": "https://r.test/sub/"}, "", "https://r.test/sub"),
    "a host and a prefix": ({"host": "https://r.test/sub", "prefix": "/p/"}, "/p", "https://r.test/sub/p"),
    "a host with the prefix": ({"host": "https://r.test/p/", "prefix": "/p/"}, "/p", "https://r.test/p"),
    "a path with the prefix": ({"host": "https://r.test/sub/p", "prefix": "/p/"}, "/p", "https://r.test/sub/p"),
    "a host named as the prefix": ({"host": "https://p", "prefix": "/p/"}, "/p", "https://p/p"),
    "relative": ({"relativeurls": True}, "", ""),
    "relative, with a prefix": ({"relativeurls": True, "prefix": "/p/"}, "/p", "/p"),
    "relative, but a host": ({"relativeurls": True, "host": "https://r.test"}, "", "https://r.test"),
}


@pytest.mark.parametrize(("http", "prefix", "base"), _CONFIGS.values(), ids=_CONFIGS)
async def test_the_config_comes_before_what_a_request_says(
    start_registry: StartRegistry, http: dict[str, Any], prefix: str, base: str
) -> None:
    client = await start_registry(http=http)
    for headers in ({}, {"Via": "proxy"}, {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.test"}):
        _assert_all_begin_with(base, await _locations(client, headers, prefix))


async def test_a_prefix_is_part_of_every_location(start_registry: StartRegistry) -> None:
    client = await start_registry(http={"prefix": "/p/"})
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "it.test"}
    for headers, base in (({}, "http://registry.test/p"), (said, "https://it.test/p"), ({"Via": "proxy"}, "/p")):
        _assert_all_begin_with(base, await _locations(client, headers, "/p"))


@pytest.mark.parametrize(
    ("proxies", "base"), [([], ""), (["192.0.2.0/24"], ""), (["127.0.0.1"], "https://it.test"), (["unix"], "")]
)
async def test_a_proxy_that_is_not_trusted_makes_no_location(
    start_registry: StartRegistry, proxies: list[str], base: str
) -> None:
    client = await start_registry(pyregistry={"trusted-proxies": proxies})
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "it.test"}
    _assert_all_begin_with(base, await _locations(client, said))
    _assert_all_begin_with(base and f"{base}:8443", await _locations(client, _forwarded("it.test", "8443")))
    _assert_all_begin_with("http://registry.test", await _locations(client, {}))


async def test_http_1_0_without_a_host_gets_a_path(client: Client) -> None:
    answer = await send_bytes(client, b"POST /v2/app/blobs/uploads/ HTTP/1.0\r\n\r\n")
    assert (answer.status, answer.headers["Location"][:20]) == (202, "/v2/app/blobs/upload")


async def test_http_1_0_is_a_proxy_which_names_a_scheme_or_gets_a_path(client: Client) -> None:
    head = b"POST /v2/app/blobs/uploads/ HTTP/1.0\r\nHost: upstream\r\n"
    answer = await send_bytes(client, head + b"\r\n")
    assert answer.headers["Location"].startswith("/v2/app/blobs/uploads/")
    answer = await send_bytes(client, head + b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: it.test\r\n\r\n")
    assert answer.headers["Location"].startswith("https://it.test/v2/app/blobs/uploads/")


async def test_the_host_of_an_absolute_target_is_ignored(client: Client) -> None:
    answer = await ask(client, "POST", "http://evil.test/v2/app/blobs/uploads/")
    assert answer.status == 202
    assert answer.headers["Location"].startswith("http://registry.test/v2/app/")


async def test_a_client_that_resolves_nothing_can_push(client: Client) -> None:
    url = str(client.make_url("/v2/app/blobs/uploads/"))
    async with client.session.post(url) as started:
        location = started.headers["Location"]
    async with client.session.put(f"{location}&digest={_DIGEST}", data=_BLOB) as answer:
        assert answer.status == 201
        location = answer.headers["Location"]
    assert location == urljoin(url, f"/v2/app/blobs/{_DIGEST}")
    async with client.session.get(location) as answer:
        assert await answer.read() == _BLOB


async def test_a_location_never_ends_a_line(client: Client) -> None:
    for host in ("a%0d%0ab", "a\tb", "é.test"):
        answer = await ask(client, "POST", "/v2/app/blobs/uploads/", {"Host": host})
        assert answer.status in (202, 400)
        assert answer.headers.get("Location", "/v2/").startswith("/v2/")
