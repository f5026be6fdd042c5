"""The request line, the headers and the framing of a body: reliability.md, section 4, rows 1 to 3 and 11 to 13."""

import pytest

from tests.conftest import StartRegistry
from tests.push import Client, start_upload
from tests.raw import ask, chunked, connected, request_head, send_bytes

_HOST = b"Host: registry.test\r\n"
_UPLOADS = b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\n" + _HOST

_MALFORMED = {
    "no HTTP at all": b"hello\r\n\r\n",
    "a method in lower case": b"get /v2/ HTTP/1.1\r\n" + _HOST + b"\r\n",
    "a method that is not registered": b"FROB /v2/ HTTP/1.1\r\n" + _HOST + b"\r\n",
    "a space in the path": b"GET /v2/a b/tags/list HTTP/1.1\r\n" + _HOST + b"\r\n",
    "a path in raw UTF-8": "GET /v2/é/tags/list HTTP/1.1\r\n".encode() + _HOST + b"\r\n",
    "NUL in the path": b"GET /v2/a\0b/tags/list HTTP/1.1\r\n" + _HOST + b"\r\n",
    "lines that end with LF alone": b"GET /v2/ HTTP/1.1\nHost: registry.test\n\n",
    "NUL in a header": b"GET /v2/ HTTP/1.1\r\n" + _HOST + b"X-Zero: a\0b\r\n\r\n",
    "a space before a header's colon": b"GET /v2/ HTTP/1.1\r\n" + _HOST + b"X-Space : a\r\n\r\n",
    "a folded header": b"GET /v2/ HTTP/1.1\r\n" + _HOST + b"X-Folded: a\r\n b\r\n\r\n",
    "a host of brackets": b"GET p://[)]1@ HTTP/1.1\r\n" + _HOST + b"\r\n",
    "no Host": b"GET /v2/ HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /v2/ HTTP/1.1\r\n" + _HOST + b"Host: other.test\r\n\r\n",
    "two Content-Lengths": _UPLOADS + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a negative Content-Length": _UPLOADS + b"Content-Length: -1\r\n\r\n",
    "a Content-Length with a sign": _UPLOADS + b"Content-Length: +3\r\n\r\nabc",
    "a Content-Length in hexadecimal": _UPLOADS + b"Content-Length: 0x3\r\n\r\nabc",
    "a Content-Length with an underscore": _UPLOADS + b"Content-Length: 1_0\r\n\r\n0123456789",
    "a Content-Length above 64 bits": _UPLOADS + b"Content-Length: 18446744073709551619\r\n\r\nabc",
    "Content-Length and Transfer-Encoding": _UPLOADS + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
    "Transfer-Encoding gzip": _UPLOADS + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "Transfer-Encoding identity": _UPLOADS + b"Transfer-Encoding: identity\r\n\r\nabc",
    "chunked before another coding": _UPLOADS + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "a target of a scheme without a host": b"GET http:///v2/ HTTP/1.1\r\n" + _HOST + b"\r\n",
    "a target with a scheme and no more": b"GET http:// HTTP/1.1\r\n" + _HOST + b"\r\n",
    "a target with a malformed scheme": b"GET a1+.-://registry.test/v2/ HTTP/1.1\r\n" + _HOST + b"\r\n",
    "a target with a port that is too large": b"GET http://registry.test:99999/v2/ HTTP/1.1\r\n" + _HOST + b"\r\n",
    "a target with a port that is no number": b"GET http://registry.test:a/v2/ HTTP/1.1\r\n" + _HOST + b"\r\n",
    "a chunk of no size": _UPLOADS + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.fixture(params=[False, True], ids=["", "from a trusted proxy"])
async def client(request: pytest.FixtureRequest, start_registry: StartRegistry) -> Client:
    """A registry that does not know the address of the tests, or takes it for a proxy's."""
    return await start_registry(pyregistry={"trusted-proxies": ["127.0.0.1"]} if request.param else {})


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in _MALFORMED.items()])
async def test_malformed_http_is_answered_400_and_the_connection_closed(client: Client, data: bytes) -> None:
    async with connected(client) as connection:
        await connection.send(data)
        answer = await connection.answer()
        answer.assert_error(400, "UNSUPPORTED")
        assert await connection.rest() == b""


_LONG = b"a" * (64 * 1024 + 10)
_MANY_LINES = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1_000) for number in range(110))
_TOO_LARGE = {
    "a target above 64 KiB": (b"GET /v2/" + _LONG + b" HTTP/1.1\r\n" + _HOST + b"\r\n", 414),
    "a target above 64 KiB without an end": (b"GET /v2/" + _LONG * 2, 414),
    "a header above 64 KiB": (b"GET /v2/ HTTP/1.1\r\n" + _HOST + b"X-Long: " + _LONG + b"\r\n\r\n", 431),
    "a header's name above 64 KiB": (b"GET /v2/ HTTP/1.1\r\n" + _HOST + _LONG + b": 1\r\n\r\n", 431),
    "more than 1,000 headers": (b"GET /v2/ HTTP/1.1\r\n" + _HOST + b"X-Many: 1\r\n" * 1_000 + b"\r\n", 431),
    "a head above 100 KiB": (b"GET /v2/ HTTP/1.1\r\n" + _HOST + _MANY_LINES + b"\r\n", 431),
    "a head above 100 KiB without an end": (b"GET /v2/ HTTP/1.1\r\n" + _HOST + _MANY_LINES, 431),
    "empty lines without an end": (b"\r\n" * 60_000, 431),
}


@pytest.mark.parametrize(
    ("data", "status"), [pytest.param(data, status, id=fact) for fact, (data, status) in _TOO_LARGE.items()]
)
@pytest.mark.parametrize("piece", [1 << 20, 1_000])
async def test_a_head_above_a_limit_is_refused_and_the_connection_closed(
    client: Client, data: bytes, status: int, piece: int
) -> None:
    async with connected(client) as connection:
        for at in range(0, len(data), piece):
            await connection.try_to_send(data[at : at + piece])
        (await connection.answer()).assert_error(status, "UNSUPPORTED")
        assert await connection.rest() == b""


@pytest.mark.parametrize("piece", [1 << 20, 1_000])
@pytest.mark.parametrize(
    "headers",
    [{"X-Long": "a" * (64 * 1024 - 10)}, {f"X-{number}": "1" for number in range(990)}],
    ids=["a long line", "many headers"],
)
async def test_a_head_within_the_limits_is_answered(client: Client, headers: dict[str, str], piece: int) -> None:
    location = await start_upload(client, "app")
    head = request_head("GET", f"/v2/?q={'x' * 20_000}", headers)
    async with connected(client) as connection:
        # The second head is read by the parser that continues after a body.
        data = head + request_head("PATCH", location, {"Content-Length": "4", **headers}) + b"body" + head
        for at in range(0, len(data), piece):
            await connection.send(data[at : at + piece])
        assert [(await connection.answer()).status for _ in range(3)] == [200, 202, 200]


async def test_a_transfer_coding_before_chunked_is_answered_400(client: Client) -> None:
    location = await start_upload(client, "app")
    answer = await ask(client, "PATCH", location, {"Transfer-Encoding": "gzip, chunked"}, chunked(b"compressed"))
    answer.assert_error(400, "UNSUPPORTED")
    status = await client.get(location)
    assert status.headers["Range"] == "0-0"


@pytest.mark.parametrize("line", [b"GET  /v2/ HTTP/1.1", b"GET /v2/  HTTP/1.1", b"GET   /v2/   HTTP/1.1"])
async def test_spaces_too_many_in_a_request_line_change_nothing(client: Client, line: bytes) -> None:
    async with connected(client) as connection:
        await connection.send(line + b"\r\n" + _HOST + b"\r\n")
        assert (await connection.answer()).status == 200


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v2/", "GET, HEAD, OPTIONS"),
        ("/v2/_catalog", "GET, OPTIONS"),
        ("/v2/app/tags/list", "GET, OPTIONS"),
        ("/v2/app/manifests/latest", "DELETE, GET, HEAD, PUT, OPTIONS"),
        ("/v2/app/blobs/sha256:" + "0" * 64, "DELETE, GET, HEAD, OPTIONS"),
        ("/v2/app/blobs/uploads/", "POST, OPTIONS"),
        ("/v2/app/blobs/uploads/4f6f1f5c-5c2c-4c1e-9d2c-000000000000", "DELETE, GET, HEAD, PATCH, PUT, OPTIONS"),
        ("/v2/app/referrers/sha256:" + "0" * 64, "GET, OPTIONS"),
    ],
)
async def test_another_method_is_answered_405_with_allow(client: Client, path: str, allow: str) -> None:
    for method in ["TRACE", "PROPFIND", "SEARCH", "LOCK", "QUERY"]:
        answer = await ask(client, method, path)
        answer.assert_error(405, "UNSUPPORTED")
        assert answer.headers["Allow"] == allow
    answer = await ask(client, "OPTIONS", path)
    assert (answer.status, answer.headers["Allow"]) == (204, allow)


@pytest.mark.parametrize(
    "path",
    [
        "//x",
        "/v1/_ping",
        "/v1/search?q=x",
        "//v2//app//",
        "/V2/",
        "/v3/",
        "/v2x",
        "/v2/app",
        "/v2/app/",
        "/v2/app/manifests",
        "/v2/app/manifests/",
        "/v2/app/blobs/",
        "/v2/app/tags",
        "/v2/app/tags/list/x/",
        "/v2//tags/list",
        "/v2/./",
        "/v2/../../etc/passwd",
        "/v2/app%0A",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v2%2Fapp%2Ftags%2Flist",
        "/metrics",
        "/debug/vars",
    ],
)
async def test_a_path_that_is_no_endpoint_is_answered_404_to_every_method(client: Client, path: str) -> None:
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"]:
        answer = await ask(client, method, path)
        answer.assert_error(404, "NAME_UNKNOWN")
        assert "Location" not in answer.headers
    head = await ask(client, "HEAD", path)
    assert (head.status, head.headers["Content-Type"]) == (404, "application/json")


async def test_a_ping_of_the_whole_server_is_answered_204(client: Client, guarded: Client) -> None:
    for registry in (client, guarded):
        answer = await send_bytes(registry, b"OPTIONS * HTTP/1.1\r\n" + _HOST + b"\r\n")
        assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize("path", ["/v2/", "/registry", "/registryv2/", "/v2/app/tags/list"])
async def test_a_path_outside_of_the_prefix_is_answered_404(start_registry: StartRegistry, path: str) -> None:
    client = await start_registry(http={"prefix": "/registry/"})
    (await ask(client, "GET", path)).assert_error(404, "NAME_UNKNOWN")


@pytest.mark.parametrize("depth", [1, 40])
async def test_pipelined_requests_are_answered_in_their_order(client: Client, depth: int) -> None:
    async with connected(client) as connection:
        pair = request_head("GET", "/v2/") + request_head("GET", "/nowhere")
        await connection.send(pair * depth)
        statuses = [(await connection.answer()).status for _ in range(2 * depth)]
        assert statuses == [200, 404] * depth


async def test_a_request_smuggled_in_a_body_is_not_answered(client: Client) -> None:
    hidden = request_head("DELETE", "/v2/app/manifests/latest")
    async with connected(client) as connection:
        head = request_head("PUT", "/v2/app/manifests/latest", {"Content-Length": str(len(hidden))})
        await connection.send(head + hidden + request_head("GET", "/v2/"))
        (await connection.answer()).assert_error(400, "MANIFEST_INVALID")
        assert (await connection.answer()).body == b"{}"
        assert await connection.says_nothing(0.1)
