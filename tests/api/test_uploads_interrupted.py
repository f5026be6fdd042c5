"""Uploads that break off, and two requests on one upload at once."""

import asyncio

import pytest

from tests.builders import digest_of
from tests.push import Client, path_of, start_upload
from tests.raw import RawConnection, ask, chunked, connected, request_head

_BLOB = b"0123456789" * 40
_DIGEST = digest_of(_BLOB)
_MIB = 1024 * 1024


async def _begin(connection: RawConnection, method: str, target: str, headers: dict[str, str], begin: bytes) -> None:
    """Send the begin of a body once the server waits for it: aiohttp drops what no handler has read at the end."""
    await connection.send(request_head(method, target, {"Expect": "100-continue", **headers}))
    assert (await connection.answer()).status == 100
    await connection.send(begin)


async def _arrived(client: Client, location: str, size: int) -> None:
    """Wait until the upload has `size` bytes; the server notices a lost client a moment later than it is lost."""
    async with asyncio.timeout(5):
        while (status := await ask(client, "GET", location)).headers["Range"] != f"0-{size - 1}":
            await asyncio.sleep(0.01)
    assert status.status == 204


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("framing", ["announced", "chunked"])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_body_that_breaks_off_keeps_what_arrived_and_get_tells_how_much(
    client: Client, method: str, framing: str, reset: bool
) -> None:
    location = await start_upload(client, "app")
    query = f"?digest={_DIGEST}" if method == "PUT" else ""
    async with connected(client) as connection:
        headers = {"Content-Length": "400"} if framing == "announced" else {"Transfer-Encoding": "chunked"}
        begin = _BLOB[:150] if framing == "announced" else chunked(_BLOB[:150], end=False)
        await _begin(connection, method, location + query, headers, begin)
        await connection.vanish(reset=reset)
        await _arrived(client, location, 150)
    (await ask(client, "GET", f"/v2/app/blobs/{_DIGEST}")).assert_error(404, "BLOB_UNKNOWN")
    answer = await ask(client, "PATCH", location, {"Content-Range": "150-399"}, _BLOB[150:])
    assert (answer.status, answer.headers["Range"]) == (202, "0-399")
    assert (await ask(client, "PUT", f"{location}?digest={_DIGEST}")).status == 201


async def test_a_large_body_that_breaks_off_keeps_what_arrived(client: Client) -> None:
    location = await start_upload(client, "app")
    begin = bytes(3 * _MIB + 7)
    async with connected(client) as connection:
        await _begin(connection, "PATCH", location, {"Content-Length": str(9 * _MIB)}, begin)
        await connection.vanish(reset=False)
        await _arrived(client, location, len(begin))


async def test_a_post_that_breaks_off_leaves_no_upload(client: Client) -> None:
    path = f"/v2/app/blobs/uploads/?digest={_DIGEST}"
    async with connected(client) as connection:
        await _begin(connection, "POST", path, {"Content-Length": "400"}, _BLOB[:150])
        await connection.vanish(reset=True)
    (await ask(client, "GET", f"/v2/app/blobs/{_DIGEST}")).assert_error(404, "BLOB_UNKNOWN")
    assert (await ask(client, "POST", path, body=_BLOB)).status == 201


async def test_a_manifest_that_breaks_off_is_not_stored(client: Client) -> None:
    content = b'{"schemaVersion": 2, "manifests": []}'
    async with connected(client) as connection:
        head = request_head("PUT", "/v2/app/manifests/latest", {"Content-Length": str(len(content) + 1)})
        await connection.send(head + content)
        await connection.vanish(reset=False)
        assert b"201" not in await connection.rest()
    (await ask(client, "GET", "/v2/app/manifests/latest")).assert_error(404, "MANIFEST_UNKNOWN")


@pytest.fixture
def _short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyregistry.storage.seams.uploads.BUSY_WAIT_SECONDS", 0.2)


@pytest.mark.usefixtures("_short_wait")
@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE"])
async def test_a_second_request_on_a_busy_upload_gets_416_with_range_and_location(client: Client, method: str) -> None:
    content = bytes(2 * _MIB)
    location = await start_upload(client, "app")
    async with connected(client) as first:
        await _begin(first, "PATCH", location, {"Content-Length": str(len(content) + 5)}, content)
        query = f"?digest={_DIGEST}" if method == "PUT" else ""
        second = await ask(client, method, location + query, body=b"never" if method != "DELETE" else b"")
        second.assert_error(416, "BLOB_UPLOAD_INVALID")
        assert path_of(second.headers["Location"]) == location
        assert int(second.headers["Range"].removeprefix("0-")) < len(content)
        await first.send(b" then")
        assert (await first.answer()).headers["Range"] == f"0-{len(content) + 4}"
    whole = content + b" then"
    assert (await ask(client, "PUT", f"{location}?digest={digest_of(whole)}")).status == 201


async def test_a_second_request_waits_for_a_first_one_that_is_about_to_end(client: Client) -> None:
    location = await start_upload(client, "app")
    async with connected(client) as first:
        await _begin(first, "PATCH", location, {"Content-Length": "400"}, _BLOB[:150])
        second = asyncio.create_task(ask(client, "PUT", f"{location}?digest={_DIGEST}"))
        await asyncio.sleep(0.1)
        assert not second.done()
        await first.send(_BLOB[150:])
        assert (await first.answer()).status == 202
    assert (await second).status == 201


async def test_requests_at_once_on_one_upload_never_mix_their_bytes(client: Client) -> None:
    location = await start_upload(client, "app")
    letters = [bytes([letter]) * 300_000 for letter in b"abcdefgh"]
    answers = await asyncio.gather(*(ask(client, "PATCH", location, body=body) for body in letters))
    assert {answer.status for answer in answers} == {202}
    ends = [int(answer.headers["Range"].removeprefix("0-")) + 1 for answer in answers]
    content = b"".join(body for _, body in sorted(zip(ends, letters, strict=True)))
    assert (await ask(client, "PUT", f"{location}?digest={digest_of(content)}")).status == 201


async def test_chunks_at_once_with_the_same_range_are_taken_once(client: Client) -> None:
    location = await start_upload(client, "app")
    headers = {"Content-Range": "0-399"}
    answers = await asyncio.gather(*(ask(client, "PATCH", location, headers, _BLOB) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [202] + [416] * 7
    assert {answer.headers["Range"] for answer in answers} == {"0-399"}
    assert (await ask(client, "PUT", f"{location}?digest={_DIGEST}")).status == 201


async def test_an_upload_finished_twice_at_once_succeeds_once(client: Client) -> None:
    location = await start_upload(client, "app")
    assert (await ask(client, "PATCH", location, body=_BLOB)).status == 202
    answers = await asyncio.gather(*(ask(client, "PUT", f"{location}?digest={_DIGEST}") for _ in range(6)))
    assert sorted(answer.status for answer in answers) == [201] + [404] * 5
    assert (await ask(client, "GET", f"/v2/app/blobs/{_DIGEST}")).body == _BLOB


async def test_one_blob_pushed_by_many_at_once_is_stored_by_all(client: Client) -> None:
    path = f"/v2/app{{}}/blobs/uploads/?digest={_DIGEST}"
    answers = await asyncio.gather(*(ask(client, "POST", path.format(n % 4), body=_BLOB) for n in range(20)))
    assert {answer.status for answer in answers} == {201}
    for number in range(4):
        assert (await ask(client, "GET", f"/v2/app{number}/blobs/{_DIGEST}")).body == _BLOB
