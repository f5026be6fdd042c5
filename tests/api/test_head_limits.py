"""Long heads that real clients send: tokens for many scopes, and the ranges of a partial pull."""

import re
from pathlib import Path

import pytest

from tests.api.conftest import ALICE
from tests.api.test_fast_path import age
from tests.builders import digest_of, image
from tests.conftest import PREPARED
from tests.modes import fast_path_only
from tests.push import Client, push_blob, push_image, start_upload
from tests.raw import ask, connected, length, request_head

_LINE = 64 * 1024
_HEAD = 100 * 1024


def _header(name: str, size: int) -> dict[str, str]:
    """Return a header whose line has this size, with the end of the line."""
    return {name: "x" * (size - len(f"{name}: \r\n"))}


def _target(path: str, size: int) -> str:
    """Return a target whose request line has this size with a GET."""
    return f"{path}?{'x' * (size - len(f'GET {path}? HTTP/1.1') - 2)}"


async def test_a_line_of_64_kib_is_taken_wherever_it_stands(client: Client) -> None:
    assert (await ask(client, "GET", "/v2/", _header("X-Long", _LINE))).status == 200
    assert (await ask(client, "GET", _target("/v2/", _LINE))).status == 200
    assert (await ask(client, "GET", "/v2/", _header("Authorization", _LINE))).status == 200


async def test_a_line_above_is_refused_with_a_sentence(client: Client) -> None:
    header = await ask(client, "GET", "/v2/", _header("X-Long", _LINE + 64))
    assert "65536 bytes" in header.assert_error(431, "UNSUPPORTED")["detail"]
    target = await ask(client, "GET", _target("/v2/", _LINE + 64))
    assert "65536 bytes" in target.assert_error(414, "UNSUPPORTED")["detail"]


@pytest.mark.parametrize(("count", "status"), [(999, 200), (1_000, 431)])
async def test_a_head_has_up_to_1000_headers(client: Client, count: int, status: int) -> None:
    answer = await ask(client, "GET", "/v2/", {f"X-{number}": "y" for number in range(count)})  # and Host
    assert answer.status == status


async def test_a_head_of_100_kib_is_taken_before_a_login_and_no_more(guarded: Client) -> None:
    path = _target("/v2/app/manifests/latest", _LINE)
    rest = _HEAD - len(request_head("GET", path, {"Authorization": "", "X": ""}))
    token = f"Bearer {'x' * (rest - len('Bearer '))}"
    answer = await ask(guarded, "GET", path, {"Authorization": token, "X": ""})
    answer.assert_error(401, "UNAUTHORIZED")
    (await ask(guarded, "GET", path, {"Authorization": token, "X": "y"})).assert_error(431, "UNSUPPORTED")
    assert (await ask(guarded, "GET", "/v2/", {**ALICE, **_header("X", _LINE)})).status == 200


@pytest.mark.parametrize("size", [1, 1_000, 30_000])
async def test_a_long_head_is_taken_however_it_arrives(client: Client, size: int) -> None:
    whole = request_head("GET", "/v2/" if size > 1 else "/v2/?one", _header("X-Long", _LINE if size > 1 else 3_000))
    async with connected(client) as connection:
        for at in range(0, len(whole), size):
            await connection.send(whole[at : at + size])
        assert (await connection.answer()).status == 200


@fast_path_only("there are no cached responses")
async def test_a_cached_response_takes_the_same_head(client: Client, tmp_path: Path) -> None:
    await push_image(client, "app", image(), "latest")
    age(tmp_path / "data")
    await ask(client, "GET", "/v2/app/manifests/latest")
    client.app[PREPARED].clear()
    async with connected(client) as connection:
        for _ in range(3):
            answer = await connection.request("GET", "/v2/app/manifests/latest", _header("Authorization", _LINE))
            assert answer.status == 200
    assert client.app[PREPARED] == []


async def test_the_parser_behind_a_body_takes_the_same_head(client: Client) -> None:
    location = await start_upload(client, "app")
    async with connected(client) as connection:
        for _ in range(2):
            body = b"some bytes"
            assert (await connection.request("PATCH", location, length(body), body)).status == 202
            assert (await connection.request("GET", "/v2/", _header("X-Long", _LINE))).status == 200
            many = {f"X-{number}": "y" for number in range(999)}
            assert (await connection.request("GET", "/v2/", many)).status == 200
            location = location.partition("?")[0]


@pytest.mark.parametrize("count", [200, 1_000, 1_024, 4_000])
async def test_many_ranges_of_a_blob_are_answered_with_these_alone(client: Client, count: int) -> None:
    """podman asks for up to 1,024 of a zstd:chunked layer."""
    content = bytes(number * 7 % 251 for number in range(3 * count + 1_000))
    digest = await push_blob(client, "app", content)
    wanted = [(3 * number, 3 * number + number % 2) for number in range(count)]
    header = "bytes=" + ",".join(f"{first}-{last}" for first, last in wanted)
    answer = await ask(client, "GET", f"/v2/app/blobs/{digest}", {"Range": header})
    assert answer.status == 206
    boundary = answer.headers["Content-Type"].partition("boundary=")[2].encode()
    parts = answer.body.split(b"\r\n--" + boundary)
    assert parts[-1] == b"--\r\n"
    found = [re.search(rb"bytes (\d+)-(\d+)/", part) for part in parts[:-1]]
    assert [(int(match[1]), int(match[2])) for match in found if match] == wanted
    bodies = [part.partition(b"\r\n\r\n")[2] for part in parts[:-1]]
    assert bodies == [content[first : last + 1] for first, last in wanted]


async def test_more_ranges_than_are_taken_are_answered_with_the_whole_blob(client: Client) -> None:
    content = bytes(20_000)
    digest = await push_blob(client, "app", content)
    header = "bytes=" + ",".join(f"{2 * number}-" + str(2 * number) for number in range(4_001))
    answer = await ask(client, "GET", f"/v2/app/blobs/{digest}", {"Range": header})
    assert (answer.status, digest_of(answer.body)) == (200, digest)


@pytest.mark.parametrize(
    "header", ["bytes=0-1,", "bytes=,0-1", "bytes= 0-1", "bytes=0 - 1", "bytes=0-1\t", "bytes=,\t,0-1 ,"]
)
async def test_a_range_is_read_with_the_spaces_and_empty_elements_that_a_list_may_have(
    client: Client, header: str
) -> None:
    digest = await push_blob(client, "app", b"0123456789")
    answer = await ask(client, "GET", f"/v2/app/blobs/{digest}", {"Range": header})
    assert (answer.status, answer.body) == (206, b"01")


@pytest.mark.parametrize("ranges", ["1-SPACESx", "SPACESx", "1SPACES-SPACESx", "," * 60_000])
async def test_a_long_range_that_makes_no_sense_holds_nobody_up(client: Client, ranges: str) -> None:
    """A search that goes back for each space would take minutes."""
    digest = await push_blob(client, "app", b"0123456789")
    header = f"bytes={ranges.replace('SPACES', ' ' * 30_000)}"
    answer = await ask(client, "GET", f"/v2/app/blobs/{digest}", {"Range": header})
    assert (answer.status, answer.body) == (200, b"0123456789")
