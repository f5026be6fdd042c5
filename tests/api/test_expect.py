"""A request's body is requested and read only after authentication and the checks."""

import pytest

from tests.api.conftest import ALICE
from tests.builders import digest_of, image
from tests.push import Client, path_of, start_upload
from tests.raw import ask, chunked, connected, request_head

_EXPECT = {"Expect": "100-continue"}
_UNKNOWN = "/v2/app/blobs/uploads/4f6f1f5c-5c2c-4c1e-9d2c-000000000000"


async def _upload(guarded: Client) -> str:
    return path_of((await ask(guarded, "POST", "/v2/app/blobs/uploads/", ALICE)).headers["Location"])


async def test_100_continue_is_sent_once_and_then_the_answer(guarded: Client) -> None:
    location = await _upload(guarded)
    async with connected(guarded) as connection:
        await connection.send(request_head("PATCH", location, {**ALICE, **_EXPECT, "Content-Length": "4"}))
        assert (await connection.answer()).line == "HTTP/1.1 100 Continue"
        await connection.send(b"body")
        answer = await connection.answer()
        assert (answer.status, answer.headers["Range"]) == (202, "0-3")


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST"])
async def test_a_stranger_gets_401_and_never_100_continue(guarded: Client, method: str) -> None:
    location = "/v2/app/blobs/uploads/" if method == "POST" else await _upload(guarded)
    async with connected(guarded) as connection:
        head = request_head(method, f"{location}?digest={digest_of(b'x')}", {**_EXPECT, "Content-Length": "1000000"})
        await connection.send(head)
        (await connection.answer()).assert_error(401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    ("method", "path", "headers", "error"),
    [
        pytest.param("PATCH", _UNKNOWN, {}, (404, "BLOB_UPLOAD_UNKNOWN"), id="an unknown upload"),
        pytest.param("PUT", _UNKNOWN + "?digest=" + digest_of(b""), {}, (404, "BLOB_UPLOAD_UNKNOWN"), id="closing one"),
        pytest.param("PUT", "UPLOAD?digest=x", {}, (400, "DIGEST_INVALID"), id="a bad digest"),
        pytest.param("PATCH", "UPLOAD", {"Content-Range": "7-8"}, (416, "BLOB_UPLOAD_INVALID"), id="a wrong offset"),
        pytest.param("PUT", "/v2/app/manifests/.x", {}, (400, "MANIFEST_INVALID"), id="a bad tag"),
        pytest.param("PUT", "/v2/APP/manifests/x", {}, (400, "NAME_INVALID"), id="a bad name"),
        pytest.param(
            "PUT", "/v2/app/manifests/x", {"Content-Length": "4194305"}, (413, "SIZE_INVALID"), id="a large manifest"
        ),
    ],
)
async def test_what_is_refused_by_its_headers_gets_no_100_continue(
    guarded: Client, method: str, path: str, headers: dict[str, str], error: tuple[int, str]
) -> None:
    path = path.replace("UPLOAD", await _upload(guarded))
    async with connected(guarded) as connection:
        await connection.send(request_head(method, path, {"Content-Length": "2", **ALICE, **_EXPECT, **headers}))
        (await connection.answer()).assert_error(*error)


@pytest.mark.parametrize("expectation", ["100-continue", "100-Continue"])
async def test_a_manifest_is_asked_for_too(client: Client, expectation: str) -> None:
    content = image().content
    headers = {"Expect": expectation, "Content-Length": str(len(content))}
    async with connected(client) as connection:
        await connection.send(request_head("PUT", "/v2/app/manifests/x", headers))
        assert (await connection.answer()).status == 100
        await connection.send(content)
        (await connection.answer()).assert_error(404, "MANIFEST_BLOB_UNKNOWN")


async def test_a_client_that_does_not_wait_for_100_continue_is_served(client: Client) -> None:
    location = await start_upload(client, "app")
    async with connected(client) as connection:
        await connection.send(request_head("PATCH", location, {**_EXPECT, "Content-Length": "4"}) + b"body")
        answer = await connection.answer()
        if answer.status == 100:
            answer = await connection.answer()
        assert (answer.status, answer.headers["Range"]) == (202, "0-3")


async def test_no_100_continue_is_sent_for_an_empty_body(client: Client) -> None:
    location = await start_upload(client, "app")
    async with connected(client) as connection:
        answer = await connection.request("PATCH", location, {**_EXPECT, "Content-Length": "0"})
        assert (answer.status, answer.headers["Range"]) == (202, "0-0")


@pytest.mark.parametrize("framing", ["announced", "chunked"])
async def test_a_stranger_who_sends_a_large_body_at_once_can_read_the_401(guarded: Client, framing: str) -> None:
    location = await _upload(guarded)
    body = bytes(8 * 1024 * 1024)
    async with connected(guarded) as connection:
        if framing == "announced":
            await connection.send(request_head("PATCH", location, {"Content-Length": str(len(body))}) + body)
        else:
            await connection.send(request_head("PATCH", location, {"Transfer-Encoding": "chunked"}) + chunked(body))
        answer = await connection.answer()
        answer.assert_error(401, "UNAUTHORIZED")
        assert answer.headers["Connection"] == "close"
    assert (await ask(guarded, "GET", location, ALICE)).headers["Range"] == "0-0"


async def test_a_stranger_who_never_stops_sending_is_cut_off(guarded: Client) -> None:
    location = await _upload(guarded)
    async with connected(guarded) as connection:
        await connection.send(request_head("PATCH", location, {"Content-Length": str(10**12)}))
        (await connection.answer()).assert_error(401, "UNAUTHORIZED")
        with pytest.raises(ConnectionError):
            await connection.send_again_and_again(bytes(1024 * 1024), pause=0)
