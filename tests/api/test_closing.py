"""Uploads that are begun, resumed and closed as clients of the CNCF registry do it."""

from pathlib import Path

import pytest
from yarl import URL

from tests.auth.rules import ADMIN, CI, start_with_rules
from tests.builders import digest_of
from tests.conftest import StartRegistry
from tests.push import Client, push_blob, start_upload
from tests.raw import ask, chunked, connected, request_head

_BLOB = b"0123456789"
_DIGEST = digest_of(_BLOB)
_UPLOADS = "/v2/app/blobs/uploads/"
_CHUNKED = {"Transfer-Encoding": "chunked"}


def _bare(location: str) -> str:
    """Return the path of a Location, without what the registry wants to know again."""
    return URL(location).raw_path


@pytest.mark.parametrize(
    "query",
    [
        *(f"?digest={_DIGEST}", "?digest=sha256:x", "?digest=", "?digest=md5:1", f"?digest={_DIGEST}&digest=x"),
        *(f"?mount={_DIGEST}&from=", "?mount=&from=base", "?mount=sha256:x&from=base", "?mount=%zz&from=base"),
        *(
            f"?mount={_DIGEST.upper()}&from=base",
            f"?mount={_DIGEST};from=base",
            "?mount=md5:1",
            f"?mount={'x' * 3_000}",
        ),
        *(f"?mount={_DIGEST}&from=Base", f"?mount={_DIGEST}&from=..%2Fbase", f"?mount={_DIGEST}&from=%00"),
        *(f"?mount={_DIGEST}&from=base:1", f"?mount={_DIGEST}&from={'a' * 300}", f"?mount={_DIGEST}&from=/base"),
        *(f"?mount={_DIGEST}&from=none&from=base", f"?mount={digest_of(b'x')}&mount={_DIGEST}&from=base"),
        f"?mount={_DIGEST}&from=none&digest={_DIGEST}",
    ],
)
@pytest.mark.parametrize("headers", [{}, {"Content-Length": "0"}], ids=["no length", "length 0"])
async def test_what_cannot_be_done_at_once_begins_an_upload(
    client: Client, query: str, headers: dict[str, str]
) -> None:
    await push_blob(client, "base", _BLOB)
    async with connected(client) as connection:
        answer = await connection.request("POST", _UPLOADS + query, headers)
        assert (answer.status, answer.headers["Range"]) == (202, "0-0")
        closing = f"{_bare(answer.headers['Location'])}?digest={_DIGEST}"
        assert (await connection.request("PUT", closing, {"Content-Length": "10"}, _BLOB)).status == 201


async def test_a_digest_with_a_body_of_chunks_that_is_empty_begins_an_upload(client: Client) -> None:
    answer = await ask(client, "POST", f"{_UPLOADS}?digest={_DIGEST}", _CHUNKED, chunked())
    assert (answer.status, answer.headers["Range"]) == (202, "0-0")


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "0"}, _CHUNKED], ids=["no length", "length 0", "chunked"])
async def test_no_bytes_under_the_digest_of_none_are_the_empty_blob(client: Client, headers: dict[str, str]) -> None:
    body = chunked() if headers == _CHUNKED else b""
    assert (await ask(client, "POST", f"{_UPLOADS}?digest={digest_of(b'')}", headers, body)).status == 201
    assert (await ask(client, "GET", f"/v2/app/blobs/{digest_of(b'')}")).body == b""


@pytest.mark.parametrize(
    "mounts", [f"mount={_DIGEST}&mount={_DIGEST}&from=base", f"mount={_DIGEST}&from=base&from=none"]
)
async def test_of_two_mounts_the_first_counts(client: Client, mounts: str) -> None:
    await push_blob(client, "base", _BLOB)
    assert (await ask(client, "POST", f"{_UPLOADS}?{mounts}")).status == 201


_LEFT_OVER = ["0-9", "4-9", "bytes 0-9/10", "10-10", "10-9", "0-10", "10-19", "x", "", "bytes */10", "-", "9" * 30]


@pytest.mark.parametrize("left", _LEFT_OVER)
@pytest.mark.parametrize("headers", [{}, {"Content-Length": "0"}], ids=["no length", "length 0"])
async def test_an_empty_closing_put_ignores_a_content_range_that_was_left_over(
    client: Client, left: str, headers: dict[str, str]
) -> None:
    location = _bare(await start_upload(client, "app"))
    assert (await ask(client, "PATCH", location, {"Content-Range": "0-9"}, _BLOB)).status == 202
    closing = {**headers, "Content-Range": left}
    assert (await ask(client, "PUT", f"{location}?digest={_DIGEST}", closing)).status == 201


async def test_an_empty_closing_put_behind_a_gap_is_416_and_the_upload_stays(client: Client) -> None:
    """Its client has sent a chunk that never came; a wrong digest would end the upload."""
    location = _bare(await start_upload(client, "app"))
    assert (await ask(client, "PATCH", location, body=_BLOB[:4])).status == 202
    answer = await ask(client, "PUT", f"{location}?digest={_DIGEST}", {"Content-Range": "5-9"})
    answer.assert_error(416, "BLOB_UPLOAD_INVALID")
    assert answer.headers["Range"] == "0-3"
    assert (await ask(client, "PUT", f"{location}?digest={_DIGEST}", body=_BLOB[4:])).status == 201


@pytest.mark.parametrize("left", ["x", "", "bytes", "9-0", "0x0-0x9", "0-9, 10-19"])
async def test_a_closing_put_with_a_body_is_judged_by_its_digest_alone(client: Client, left: str) -> None:
    location = _bare(await start_upload(client, "app"))
    closing = f"{location}?digest={_DIGEST}"
    assert (await ask(client, "PUT", closing, {"Content-Range": left}, _BLOB)).status == 201


async def test_a_chunk_with_an_empty_content_range_comes_next(client: Client) -> None:
    location = _bare(await start_upload(client, "app"))
    for end in [9, 19]:
        answer = await ask(client, "PATCH", location, {"Content-Range": ""}, _BLOB)
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{end}")


@pytest.mark.parametrize(("at", "status", "code"), [(4, 400, "SIZE_INVALID"), (30, 416, "BLOB_UPLOAD_INVALID")])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_chunk_of_another_place_and_length_is_told_its_place_first(
    client: Client, method: str, at: int, status: int, code: str
) -> None:
    location = _bare(await start_upload(client, "app"))
    assert (await ask(client, "PATCH", location, body=_BLOB[:4])).status == 202
    said = {"Content-Range": f"{at}-{at + 20}"}
    answer = await ask(client, method, f"{location}?digest={_DIGEST}", said, _BLOB)
    answer.assert_error(status, code)
    assert answer.headers.get("Range") == (None if status == 400 else "0-3")


@pytest.mark.parametrize("framing", ["small", "chunked", "slow"])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_body_that_comes_again_from_its_beginning_is_416_and_the_upload_stays(
    client: Client, method: str, framing: str
) -> None:
    """Its client uses the Location of before the first try, which says where the upload stood then."""
    location = _bare(await start_upload(client, "app"))
    assert (await ask(client, "PATCH", f"{location}?_state=0", body=_BLOB[:4])).status == 202
    again = f"{location}?_state=0&digest={_DIGEST}"
    headers = {"Content-Length": "10"} if framing != "chunked" else _CHUNKED
    body = _BLOB if framing != "chunked" else chunked(_BLOB)
    async with connected(client) as connection:
        await connection.send(request_head(method, again, headers) + (b"" if framing == "slow" else body))
        if framing == "slow":  # the head is judged without its body
            await connection.send(body[:1])
        answer = await connection.answer()
    answer.assert_error(416, "BLOB_UPLOAD_INVALID")
    assert (answer.headers["Range"], _bare(answer.headers["Location"])) == ("0-3", location)
    rest = await ask(client, "PATCH", f"{location}?_state=4", body=_BLOB[4:])
    assert (rest.status, rest.headers["Range"]) == (202, "0-9")
    assert (await ask(client, "PUT", f"{location}?_state=10&digest={_DIGEST}")).status == 201


@pytest.mark.parametrize("state", ["0", "7", "", "x", "-1", "9" * 30, "bOSADrh-8vWAm9CBUslCEKGVONU3WVMM4r5Qdo=="])
async def test_what_says_nothing_of_the_body_needs_no_state(client: Client, state: str) -> None:
    """An empty PUT closes whatever has come; a `Content-Range` says it better; the CNCF registry's state is its own."""
    location = _bare(await start_upload(client, "app"))
    at = {"Content-Range": "0-3"}
    assert (await ask(client, "PATCH", f"{location}?_state={state}", at, _BLOB[:4])).status == 202
    if not state.isdecimal() or len(state) > 19:
        assert (await ask(client, "PATCH", f"{location}?_state={state}", body=_BLOB[4:])).status == 202
    else:
        assert (await ask(client, "PATCH", location, body=_BLOB[4:])).status == 202
    assert (await ask(client, "PUT", f"{location}?_state={state}&digest={_DIGEST}")).status == 201


async def test_a_mount_from_what_is_no_name_asks_for_the_right_to_push(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    """containerd sends what a label says, perhaps of another registry; the token for its push must be had."""
    client = await start_with_rules(start_registry, tmp_path)
    for origin in ["", "Docker.io/Library/x", "..", "%00"]:
        path = f"/v2/ci/app/blobs/uploads/?mount={_DIGEST}&from={origin}"
        refused = await ask(client, "POST", path)
        refused.assert_error(401, "UNAUTHORIZED")
        assert 'scope="repository:ci/app:pull,push"' in refused.headers["WWW-Authenticate"]
        assert (await ask(client, "POST", path, CI)).status == 202


async def test_a_mount_that_cannot_be_done_tells_nothing_of_what_is_there(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    client = await start_with_rules(start_registry, tmp_path)
    digest = digest_of(b"secret")
    pushed = await ask(client, "POST", f"/v2/private/blobs/uploads/?digest={digest}", ADMIN, b"secret")
    assert pushed.status == 201
    answers = []
    for origin in ["private", "none", "Private", "", "a" * 300]:
        query = f"?mount={digest}&from={origin}"
        answers.append(await ask(client, "POST", f"/v2/ci/app/blobs/uploads/{query}", CI))
    assert {(answer.status, answer.headers["Range"], answer.body) for answer in answers} == {(202, "0-0", b"")}
