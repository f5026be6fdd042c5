"""Requests hidden in the body of another one: whatever a proxy forwards as a body is never read as a request."""

import asyncio
import re

import pytest

from tests.api.conftest import ALICE
from tests.builders import digest_of, image
from tests.push import Client, path_of, push_image, put_manifest, start_upload
from tests.raw import METHODS, RawConnection, ask, chunked, connected, request_head

TARGETS = {
    "no endpoint": "/nowhere",
    "the root": "/v2/",
    "a manifest": "/v2/app/manifests/other",
    "a name that is none": "/v2/APP/manifests/other",
    "a blob": "/v2/app/blobs/sha256:" + "0" * 64,
    "a new upload": "/v2/app/blobs/uploads/",
    "an unknown upload": "/v2/app/blobs/uploads/4f6f1f5c-5c2c-4c1e-9d2c-000000000000",
    "a whole server": "*",
    "an authority": "registry.test:443",
    "an absolute target": "http://registry.test/v2/",
}
_TAG = "/v2/app/manifests/prod"
_HIDDEN = request_head("DELETE", _TAG).removesuffix(b"\r\n") + b"X-Ignore: "
"""Its last line swallows the request line of the next client."""
_NEXT = {"Connection": "close", "X-Next": "1"}
_ANSWER = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


def _framed(body: bytes, framing: str) -> tuple[dict[str, str], bytes]:
    if framing == "chunked":
        return {"Transfer-Encoding": "chunked"}, chunked(body)
    return {"Content-Length": str(len(body))}, body


async def _statuses(connection: RawConnection) -> list[int]:
    return [int(status) for status in _ANSWER.findall(await connection.rest())]


async def _push_tag(client: Client) -> None:
    await push_image(client, "app", image(), "prod")


async def _assert_nothing_was_smuggled(client: Client, statuses: list[int], fact: str) -> None:
    assert 1 <= len(statuses) <= 2, (fact, statuses)
    assert 202 not in statuses[1:], (fact, statuses)
    # Behind the body: the truth about the tag, or nothing at all.
    assert statuses[1:] in ([], [200]), (fact, statuses)
    assert (await ask(client, "HEAD", _TAG)).status == 200, fact


@pytest.mark.parametrize("framing", ["announced", "chunked"])
@pytest.mark.parametrize("method", METHODS)
async def test_a_body_is_never_read_as_a_request(client: Client, method: str, framing: str) -> None:
    await _push_tag(client)
    headers, body = _framed(_HIDDEN, framing)
    for fact, target in TARGETS.items():
        for apart in (False, True):
            async with connected(client) as connection:
                head = request_head(method, target, headers)
                await connection.send(head if apart else head + body + request_head("GET", _TAG, _NEXT))
                if apart:  # as through a proxy: the body comes when the head has been read
                    await asyncio.sleep(0.005)
                    await connection.send(body + request_head("GET", _TAG, _NEXT))
                await _assert_nothing_was_smuggled(client, await _statuses(connection), f"{fact}, {apart=}")


@pytest.mark.parametrize("framing", ["announced", "chunked"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"])
async def test_a_body_behind_a_refused_login_is_never_read_as_a_request(
    guarded: Client, method: str, framing: str
) -> None:
    hidden = request_head("DELETE", _TAG, ALICE).removesuffix(b"\r\n") + b"X-Ignore: "
    headers, body = _framed(hidden, framing)
    for target in TARGETS.values():
        async with connected(guarded) as connection:
            await connection.send(request_head(method, target, headers) + body)
            await connection.send(request_head("GET", "/v2/", {**ALICE, **_NEXT}))
            statuses = await _statuses(connection)
        assert 1 <= len(statuses) <= 2, (target, statuses)
        assert statuses[1:] in ([], [200]), (target, statuses)


_TE, _CL = b"Transfer-Encoding", b"Content-Length"
_AMBIGUOUS: dict[str, bytes] = {
    "CONNECT": b"CONNECT /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: LENGTH\r\n\r\n",
    "CONNECT of an authority": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\nContent-Length: LENGTH\r\n\r\n",
    "CONNECT without a body": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT over HTTP/1.0": b"CONNECT x:443 HTTP/1.0\r\nContent-Length: LENGTH\r\n\r\n",
    "CONNECT with an upgrade": b"CONNECT /v2/ HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
    b"Content-Length: LENGTH\r\n\r\n",
    "an upgrade with both": b"PUT /v2/ HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
    b"Content-Length: LENGTH\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.0 with chunks": b"PUT /v2/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\nSIZE\r\n",
    "HTTP/1.0 with chunks, kept alive": b"PUT /v2/ HTTP/1.0\r\nConnection: keep-alive\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nSIZE\r\n",
    "HTTP/1.0 with both": b"GET /v2/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: LENGTH\r\n\r\n",
    "an empty Transfer-Encoding": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n\r\n",
    "an empty Transfer-Encoding next to a length": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \r\n"
    b"Content-Length: LENGTH\r\n\r\n",
    "a length next to an empty Transfer-Encoding": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: LENGTH\r\n"
    b"Transfer-Encoding:\t\r\n\r\n",
    "both": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: LENGTH\r\nTransfer-Encoding: chunked\r\n\r\n",
    "both, the other way around": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Length: LENGTH\r\n\r\n",
    **{
        f"Transfer-Encoding {coding!r}": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: %s\r\n\r\nSIZE\r\n"
        % coding
        for coding in (
            *(b"identity", b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"identity, chunked"),
            *(
                b"chunked;q=1",
                b"\x0bchunked",
                b"x chunked",
                b'"chunked"',
                b"chunked,",
                b",chunked",
                b"chun\xe2\x84\xaaed",
            ),
        )
    },
    "Transfer-Encoding twice": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nSIZE\r\n",
    **{
        f"Content-Length {value[:12]!r} of {len(value)}": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n"
        % value
        for value in (
            *(b"+5", b"-5", b"5, 5", b"5,", b"5 5", b"0x5", b"5_0", b"5.0", b"", b"\xd9\xa5"),
            *(b"9" * 5_000, b"0" * 5_000 + b"5", b"18446744073709551615", b"18446744073709551616"),
        )
    },
    **{
        f"Content-Length twice, then {line!r}": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: LENGTH\r\n"
        b"Content-Length: LENGTH\r\n%s\r\n\r\n" % line
        for line in (
            *(b"Content-Length: 0", b"Content-Length: 0LENGTH", b"Content-Length: LENGTH, LENGTH", b"Content-Length:"),
            *(b"Transfer-Encoding: chunked", b" 0", b"\t0", b"Content-Length : LENGTH", b"Host: y"),
        )
    },
    "a space before the colon": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length : LENGTH\r\n\r\n",
    "a folded length": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n LENGTH\r\n\r\n",
    "a folded coding": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\nSIZE\r\n",
    "a fold before any header": b"GET /v2/ HTTP/1.1\r\n Host: x\r\nContent-Length: LENGTH\r\n\r\n",
    "LF at the end of a line": b"GET /v2/ HTTP/1.1\r\nHost: x\nContent-Length: LENGTH\r\n\r\n",
    "LF at the end of the head": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: LENGTH\r\n\n",
    "CR in a header": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-A: b\rContent-Length: LENGTH\r\n\r\n",
    "CR at the end of the head": b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: LENGTH\r\n\rX",
    "HTTP/0.9": b"GET /v2/ HTTP/0.9\r\nContent-Length: LENGTH\r\n\r\n",
    "no version": b"GET /v2/\r\n\r\n",
    "HTTP/1.2": b"GET /v2/ HTTP/1.2\r\nHost: x\r\n\r\n",
    "HTTP/1.10": b"GET /v2/ HTTP/1.10\r\nHost: x\r\n\r\n",
    "a version in lower case": b"GET /v2/ http/1.1\r\nHost: x\r\n\r\n",
}
_OTHER_VERSIONS: dict[str, bytes] = {
    "HTTP/2.0": b"GET /v2/ HTTP/2.0\r\nHost: x\r\nContent-Length: LENGTH\r\n\r\n",
    "HTTP/3.0": b"GET /v2/ HTTP/3.0\r\nHost: x\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


async def _assert_refused(client: Client, head: bytes, status: int, code: str) -> None:
    await _push_tag(client)
    filled = head.replace(b"LENGTH", b"%d" % len(_HIDDEN)).replace(b"SIZE", b"%x" % len(_HIDDEN))
    for apart in (False, True):
        async with connected(client) as connection:
            await connection.send(filled + (b"" if apart else _HIDDEN + b"\r\n\r\n"))
            answer = await connection.answer()
            answer.assert_error(status, code)
            assert answer.line.startswith("HTTP/1.0 ") or answer.headers["Connection"] == "close"
            if apart:
                await connection.try_to_send(_HIDDEN + b"\r\n\r\n")
            assert await connection.rest() == b""
    assert (await ask(client, "HEAD", _TAG)).status == 200


@pytest.mark.parametrize("head", [pytest.param(head, id=fact) for fact, head in _AMBIGUOUS.items()])
async def test_a_head_that_another_reader_may_frame_otherwise_is_answered_400_and_nothing_behind_it_is_read(
    client: Client, head: bytes
) -> None:
    await _assert_refused(client, head, 400, "UNSUPPORTED")


@pytest.mark.parametrize("head", [pytest.param(head, id=fact) for fact, head in _OTHER_VERSIONS.items()])
async def test_another_major_version_is_answered_505_and_nothing_behind_it_is_read(client: Client, head: bytes) -> None:
    await _assert_refused(client, head, 505, "UNKNOWN")


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "foo", "TLS/1.0"])
@pytest.mark.parametrize("length", [{}, {"Content-Length": "0"}], ids=["no length", "length 0"])
async def test_behind_an_offer_of_another_protocol_the_next_request_is_answered(
    client: Client, protocol: str, length: dict[str, str]
) -> None:
    offer = request_head("GET", "/v2/", {"Connection": "Upgrade", "Upgrade": protocol, **length})
    async with connected(client) as connection:
        await connection.send((offer + request_head("GET", "/nowhere")) * 5)
        assert [(await connection.answer()).status for _ in range(10)] == [200, 404] * 5
        await connection.send(offer)
        assert (await connection.answer()).body == b"{}"


@pytest.mark.parametrize("framing", ["announced", "chunked"])
@pytest.mark.parametrize("protocol", ["h2c", "websocket", "foo"])
async def test_a_body_behind_an_offer_of_another_protocol_is_taken_and_ends_the_connection(
    client: Client, protocol: str, framing: str
) -> None:
    await _push_tag(client)
    location = path_of(await start_upload(client, "app"))
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": protocol, "HTTP2-Settings": "AAEAAEAAAAIAAAAB"}
    headers, body = _framed(_HIDDEN, framing)
    async with connected(client) as connection:
        # As Java's HttpClient and `curl --http2` send it, and a request behind it that must not be read.
        head = request_head("PUT", f"{location}&digest={digest_of(_HIDDEN)}", {**offer, **headers})
        await connection.send(head + body + request_head("DELETE", _TAG))
        answer = await connection.answer()
        assert answer.status == 201
        assert answer.headers["Connection"] == "close"
        assert await connection.rest() == b""
    assert (await ask(client, "GET", f"/v2/app/blobs/{digest_of(_HIDDEN)}")).body == _HIDDEN
    assert (await ask(client, "HEAD", _TAG)).status == 200


async def test_heads_in_any_pieces_are_answered_alike(client: Client) -> None:
    image_of_app = image()
    await push_image(client, "app", image_of_app, "prod")
    pair = request_head("GET", _TAG) + request_head("PUT", "/v2/app/manifests/x", {"Content-Length": "3"}) + b"{}\n"
    for size in (1, 2, 3, 7, 50):
        async with connected(client) as connection:
            for at in range(0, len(pair), size):
                await connection.send(pair[at : at + size])
                if size > 3 or at % 11 == 0:
                    await asyncio.sleep(0.001)
            assert (await connection.answer()).body == image_of_app.content
            assert (await connection.answer()).status == 400


@pytest.mark.parametrize("count", [31, 32, 33, 64, 300])
@pytest.mark.parametrize("framing", ["none", "announced", "chunked"])
async def test_many_requests_in_one_packet_are_answered_in_their_order(
    client: Client, count: int, framing: str
) -> None:
    headers, body = _framed(b"x" * 10, framing) if framing != "none" else ({}, b"")
    async with connected(client) as connection:
        one = request_head("GET", "/v2/", headers) + body + request_head("GET", "/v2/_catalog", headers) + body
        await connection.send(one * count)
        bodies = [(await connection.answer()).body for _ in range(2 * count)]
        assert bodies == [b"{}", b'{"repositories":[]}\n'] * count
        assert await connection.says_nothing(0.05)


async def test_an_early_answer_to_a_client_that_waits_for_100_continue_ends_the_connection(client: Client) -> None:
    """The client need not send its body then; what comes next would be taken for it."""
    await put_manifest(client, "app", image())
    for method, target in [("GET", "/v2/"), ("POST", "/v2/app/blobs/uploads/"), ("DELETE", _TAG), ("HEAD", "/v2/")]:
        async with connected(client) as connection:
            await connection.send(request_head(method, target, {"Expect": "100-continue", "Content-Length": "50"}))
            answer = await connection.answer(method)
            assert answer.headers["Connection"] == "close", (method, target, answer)
            await connection.try_to_send(request_head("GET", "/v2/"))
            assert await connection.rest() == b""


@pytest.mark.parametrize(("first", "second", "begun"), [(300_000, 400_000, 1_000), (300_000, 4_000_000, 4_000_000)])
async def test_the_body_of_the_next_request_is_not_taken_for_the_rest_of_this_one(
    client: Client, first: int, second: int, begun: int
) -> None:
    uploads = [await start_upload(client, name) for name in ("bob", "alice")]
    bodies = [b"B" * first, b"A" * second]
    heads = [
        request_head("PATCH", upload, {"Content-Length": str(len(body))})
        for upload, body in zip(uploads, bodies, strict=True)
    ]
    async with connected(client) as connection:
        await connection.send(heads[0] + bodies[0] + heads[1] + bodies[1][:begun])
        await asyncio.sleep(0.2)
        await connection.send(bodies[1][begun:])
        answers = [await connection.answer("PATCH") for _ in uploads]
    for answer, body in zip(answers, bodies, strict=True):
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{len(body) - 1}")
        target = f"{path_of(answer.headers['Location'])}?digest={digest_of(body)}"
        assert (await ask(client, "PUT", target)).status == 201


@pytest.mark.parametrize("path", ["/" * 64_000, "/v2/" + "a/" * 32_000 + "tags/list", "/" * 513])
async def test_a_path_that_no_endpoint_can_have_is_refused_before_it_is_routed(client: Client, path: str) -> None:
    for method in ("GET", "PUT", "OPTIONS"):
        (await ask(client, method, path)).assert_error(414, "UNSUPPORTED")
    assert (await ask(client, "GET", "/v2/?" + "/" * 30_000)).status == 200
