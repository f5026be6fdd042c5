"""Uploads, end-4a to 4c, 5, 6, 13 and 14: how blobs come in."""

import asyncio
from pathlib import Path

import pytest

from tests.builders import digest_of
from tests.conftest import StartRegistry
from tests.push import Client, assert_error, path_of, push_blob, start_upload
from tests.raw import ask, chunked, connected

_FIRST, _SECOND = b"the first chunk ", b"and the second"
_BLOB = _FIRST + _SECOND
_DIGEST = digest_of(_BLOB)


async def _assert_pushed(client: Client, content: bytes = _BLOB, name: str = "app", algorithm: str = "sha256") -> None:
    digest = digest_of(content, algorithm)
    answer = await ask(client, "GET", f"/v2/{name}/blobs/{digest}")
    assert (answer.status, answer.body, answer.headers["Docker-Content-Digest"]) == (200, content, digest)


def _open_uploads(tmp_path: Path) -> list[Path]:
    return [*tmp_path.glob("data/docker/registry/v2/repositories/**/_uploads/*")]


async def test_post_answers_202_with_location_range_and_id(client: Client) -> None:
    answer = await ask(client, "POST", "/v2/app/blobs/uploads/")
    assert (answer.status, answer.headers["Content-Length"]) == (202, "0")
    assert answer.headers["Range"] == "0-0"
    assert path_of(answer.headers["Location"]) == f"/v2/app/blobs/uploads/{answer.headers['Docker-Upload-Uuid']}"


async def test_the_range_after_patch_counts_bytes_inclusively_and_has_no_unit(client: Client) -> None:
    location = await start_upload(client, "app")
    for body, expected in [(b"", "0-0"), (b"x", "0-0"), (b"y", "0-1"), (b"z" * 998, "0-999"), (b"", "0-999")]:
        answer = await ask(client, "PATCH", location, body=body)
        assert (answer.status, answer.headers["Range"], path_of(answer.headers["Location"])) == (
            202,
            expected,
            location,
        )
        status = await ask(client, "GET", location)
        assert (status.status, status.headers["Range"], path_of(status.headers["Location"])) == (
            204,
            expected,
            location,
        )


@pytest.mark.parametrize("framing", ["announced", "chunked"])
@pytest.mark.parametrize(
    ("patched", "closing"),
    [
        pytest.param([], _BLOB, id="PUT with the whole blob"),
        pytest.param([_BLOB], b"", id="one PATCH, an empty PUT"),
        pytest.param([_FIRST, _SECOND], b"", id="two PATCHes, an empty PUT"),
        pytest.param([_FIRST], _SECOND, id="a PATCH, PUT with the last chunk"),
        pytest.param([b"", _FIRST, b""], _SECOND, id="with PATCHes of no bytes"),
    ],
)
async def test_a_blob_comes_in_by_any_division_of_its_bytes(
    client: Client, patched: list[bytes], closing: bytes, framing: str
) -> None:
    location = await start_upload(client, "app")
    for body in patched:
        if framing == "announced":
            answer = await ask(client, "PATCH", location, {"Content-Length": str(len(body))}, body)
        else:
            pieces = [body[begin : begin + 5] for begin in range(0, len(body), 5)]
            answer = await ask(client, "PATCH", location, {"Transfer-Encoding": "chunked"}, chunked(*pieces))
        assert answer.status == 202
        location = path_of(answer.headers["Location"])
    answer = await ask(client, "PUT", f"{location}?digest={_DIGEST}", body=closing)
    assert (answer.status, path_of(answer.headers["Location"])) == (201, f"/v2/app/blobs/{_DIGEST}")
    assert (answer.headers["Docker-Content-Digest"], answer.headers["Content-Length"]) == (_DIGEST, "0")
    await _assert_pushed(client)
    (await ask(client, "GET", location)).assert_error(404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("spelling", ["{}-{}", "bytes {}-{}/30", "bytes {}-{}/*", "bytes={}-{}", " {}-{} "])
async def test_content_range_may_be_spelt_as_any_client_does(client: Client, spelling: str) -> None:
    assert len(_BLOB) == 30
    location = await start_upload(client, "app")
    answer = await ask(client, "PATCH", location, {"Content-Range": spelling.format(0, 15)}, _FIRST)
    assert (answer.status, answer.headers["Range"]) == (202, "0-15")
    last = {"Content-Range": spelling.format(16, 29)}
    assert (await ask(client, "PUT", f"{location}?digest={_DIGEST}", last, _SECOND)).status == 201
    await _assert_pushed(client)


async def test_content_range_holds_for_a_chunked_body_too(client: Client) -> None:
    location = await start_upload(client, "app")
    headers = {"Content-Range": "0-15", "Transfer-Encoding": "chunked"}
    assert (await ask(client, "PATCH", location, headers, chunked(_FIRST))).headers["Range"] == "0-15"
    last = {"Content-Range": "16-29", "Transfer-Encoding": "chunked"}
    assert (await ask(client, "PUT", f"{location}?digest={_DIGEST}", last, chunked(_SECOND))).status == 201


@pytest.mark.parametrize("said", [b"Content-Range: 0-29\r\n", b""])
@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_closing_put_of_no_chunk_is_one_without_a_body(client: Client, said: bytes, pieces: int) -> None:
    """It may have the header or the Location of the last chunk, whether its end comes with its head or later."""
    location = await start_upload(client, "app")
    assert (await ask(client, "PATCH", location, body=_BLOB)).status == 202
    target = f"{location}?digest={_DIGEST}&_state=0".encode()
    head = b"PUT " + target + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + said + b"\r\n"
    async with connected(client) as connection:
        for piece in [head + chunked(b"")] if pieces == 1 else [head, chunked(b"")]:
            await connection.send(piece)
            await asyncio.sleep(0.05)
        assert (await connection.answer()).status == 201
    await _assert_pushed(client)


async def test_a_closing_put_with_a_chunk_at_the_wrong_place_leaves_the_upload(client: Client) -> None:
    location = await start_upload(client, "app")
    assert (await ask(client, "PATCH", location, body=_FIRST)).status == 202
    last = {"Content-Range": "0-13", "Transfer-Encoding": "chunked"}
    answer = await ask(client, "PUT", f"{location}?digest={_DIGEST}", last, chunked(_SECOND))
    assert (answer.status, answer.headers["Range"]) == (416, "0-15")
    assert (await ask(client, "PUT", f"{location}?digest={_DIGEST}", body=_SECOND)).status == 201


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_one_post_with_digest_and_body_is_the_whole_push(client: Client, algorithm: str) -> None:
    digest = digest_of(_BLOB, algorithm)
    answer = await ask(client, "POST", f"/v2/app/blobs/uploads/?digest={digest}", body=_BLOB)
    assert (answer.status, path_of(answer.headers["Location"])) == (201, f"/v2/app/blobs/{digest}")
    assert answer.headers["Docker-Content-Digest"] == digest
    await _assert_pushed(client, algorithm=algorithm)


async def test_one_post_with_the_wrong_bytes_leaves_nothing(client: Client, tmp_path: Path) -> None:
    answer = await ask(client, "POST", f"/v2/app/blobs/uploads/?digest={_DIGEST}", body=b"other")
    answer.assert_error(400, "DIGEST_INVALID")
    assert _open_uploads(tmp_path) == []
    (await ask(client, "GET", f"/v2/app/blobs/{_DIGEST}")).assert_error(404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "unannounced"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_both_algorithms_work_in_chunks_announced_or_not(client: Client, algorithm: str, announced: bool) -> None:
    query = f"?digest-algorithm={algorithm}" if announced else ""
    location = path_of((await ask(client, "POST", f"/v2/app/blobs/uploads/{query}")).headers["Location"])
    for chunk in (_FIRST, _SECOND):
        assert (await ask(client, "PATCH", location, body=chunk)).status == 202
    answer = await ask(client, "PUT", f"{location}?digest={digest_of(_BLOB, algorithm)}")
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest_of(_BLOB, algorithm))
    await _assert_pushed(client, algorithm=algorithm)


@pytest.mark.parametrize("way", ["POST", "PUT", "PATCH"])
async def test_a_blob_of_no_bytes_is_a_blob(client: Client, way: str) -> None:
    empty = digest_of(b"")
    if way == "POST":
        answer = await ask(client, "POST", f"/v2/app/blobs/uploads/?digest={empty}")
    else:
        location = await start_upload(client, "app")
        if way == "PATCH":
            answer = await ask(client, "PATCH", location, {"Content-Length": "0"})
            assert (answer.status, answer.headers["Range"]) == (202, "0-0")
        answer = await ask(client, "PUT", f"{location}?digest={empty}")
    assert answer.status == 201
    await _assert_pushed(client, b"")


async def test_wrong_bytes_are_refused_and_the_upload_is_over(client: Client, tmp_path: Path) -> None:
    location = await start_upload(client, "app")
    assert (await ask(client, "PATCH", location, body=b"other")).status == 202
    (await ask(client, "PUT", f"{location}?digest={_DIGEST}")).assert_error(400, "DIGEST_INVALID")
    (await ask(client, "GET", location)).assert_error(404, "BLOB_UPLOAD_UNKNOWN")
    (await ask(client, "HEAD", f"/v2/app/blobs/{_DIGEST}"))
    assert _open_uploads(tmp_path) == []


async def test_delete_ends_an_upload(client: Client, tmp_path: Path) -> None:
    location = await start_upload(client, "app")
    await ask(client, "PATCH", location, body=b"body")
    answer = await ask(client, "DELETE", location)
    assert (answer.status, answer.body) == (204, b"")
    for method, query in [("GET", ""), ("PATCH", ""), ("PUT", f"?digest={_DIGEST}"), ("DELETE", "")]:
        (await ask(client, method, location + query)).assert_error(404, "BLOB_UPLOAD_UNKNOWN")
    assert _open_uploads(tmp_path) == []


async def test_a_finished_upload_cannot_be_finished_again(client: Client) -> None:
    location = await start_upload(client, "app")
    assert (await ask(client, "PUT", f"{location}?digest={_DIGEST}", body=_BLOB)).status == 201
    again = await ask(client, "PUT", f"{location}?digest={_DIGEST}", body=_BLOB)
    again.assert_error(404, "BLOB_UPLOAD_UNKNOWN")
    await _assert_pushed(client)


async def test_the_same_blob_may_be_pushed_again_and_elsewhere(client: Client) -> None:
    for name in ["app", "app", "other"]:
        await push_blob(client, name, _BLOB)
        await _assert_pushed(client, name=name)


async def test_a_push_heals_a_damaged_blob(client: Client, tmp_path: Path) -> None:
    await push_blob(client, "app", _BLOB)
    (data,) = tmp_path.glob("data/docker/registry/v2/blobs/sha256/*/*/data")
    data.write_bytes(b"bit rot")
    await push_blob(client, "app", _BLOB)
    await _assert_pushed(client)


async def test_an_open_upload_survives_a_restart(start_registry: StartRegistry) -> None:
    client = await start_registry()
    location = await start_upload(client, "app")
    assert (await ask(client, "PATCH", location, body=_FIRST)).status == 202
    await client.close()
    client = await start_registry()
    assert (await ask(client, "GET", location)).headers["Range"] == "0-15"
    assert (await ask(client, "PUT", f"{location}?digest={_DIGEST}", body=_SECOND)).status == 201
    await _assert_pushed(client)


async def test_two_registries_on_one_directory_share_their_uploads(start_registry: StartRegistry) -> None:
    one, other = await start_registry(), await start_registry()
    location = await start_upload(one, "app")
    assert (await ask(other, "PATCH", location, body=_FIRST)).headers["Range"] == "0-15"
    assert (await ask(one, "PATCH", location, body=_SECOND)).headers["Range"] == "0-29"
    assert (await ask(other, "PUT", f"{location}?digest={_DIGEST}")).status == 201
    await _assert_pushed(one)


async def test_a_blob_larger_than_any_buffer_comes_back_byte_for_byte(client: Client) -> None:
    content = bytes(range(256)) * 4096 * 5 + b"and a rest"
    location = await start_upload(client, "app")
    pieces = [content[begin : begin + 77_777] for begin in range(0, len(content), 77_777)]
    answer = await ask(client, "PATCH", location, {"Transfer-Encoding": "chunked"}, chunked(*pieces))
    assert answer.headers["Range"] == f"0-{len(content) - 1}"
    assert (await ask(client, "PUT", f"{location}?digest={digest_of(content)}")).status == 201
    await _assert_pushed(client, content)


async def test_uploading_does_not_make_a_repository_in_the_catalog(client: Client) -> None:
    await push_blob(client, "app", _BLOB)
    await start_upload(client, "other")
    assert (await ask(client, "GET", "/v2/_catalog")).json() == {"repositories": []}
    await assert_error(await client.get("/v2/other/tags/list"), 404, "NAME_UNKNOWN")
