"""Parts of a blob: 206, 416, multipart/byteranges, If-Range, and what a client has already."""

from email import message_from_bytes
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyregistry.api.http.ranges import parse_range
from tests.builders import digest_of, image
from tests.push import Client, push_blob, push_image
from tests.raw import RawAnswer, ask, connected

_CONTENT = bytes(range(256)) * 40
_SIZE = len(_CONTENT)


async def _get(client: Client, header: str, **more: str) -> RawAnswer:
    path = f"/v2/app/blobs/{await push_blob(client, 'app', _CONTENT)}"
    return await ask(client, "GET", path, {"Range": header, **{name.replace("_", "-"): more[name] for name in more}})


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-", 0, _SIZE - 1),
        ("bytes=100-199", 100, 199),
        (f"bytes={_SIZE - 1}-", _SIZE - 1, _SIZE - 1),
        (f"bytes=5-{_SIZE * 9}", 5, _SIZE - 1),
        ("bytes=-1", _SIZE - 1, _SIZE - 1),
        (f"bytes=-{_SIZE * 9}", 0, _SIZE - 1),
        ("Bytes = 3-4", 3, 4),
        ("bytes=1-2,99999-", 1, 2),
    ],
)
async def test_one_range_is_answered_206_with_exactly_these_bytes(
    client: Client, header: str, first: int, last: int
) -> None:
    answer = await _get(client, header)
    assert (answer.status, answer.body) == (206, _CONTENT[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{_SIZE}"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Docker-Content-Digest"] == digest_of(_CONTENT)


@pytest.mark.parametrize("ranges", [[(0, 0), (2, 2)], [(5, 9), (0, 3)], [(n * 20, n * 20 + 4) for n in range(500)]])
async def test_several_ranges_are_answered_206_multipart_in_their_order(
    client: Client, ranges: list[tuple[int, int]]
) -> None:
    answer = await _get(client, "bytes=" + ", ".join(f"{first}-{last}" for first, last in ranges))
    assert answer.status == 206
    assert "Content-Range" not in answer.headers
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    message = message_from_bytes(head + answer.body)
    assert message.get_content_type() == "multipart/byteranges"
    assert not message.defects
    parts = message.get_payload()
    assert isinstance(parts, list)
    for part, (first, last) in zip(parts, ranges, strict=True):
        assert isinstance(part, Message)
        assert part["Content-Range"] == f"bytes {first}-{last}/{_SIZE}"
        assert part["Content-Type"] == "application/octet-stream"
    boundary = message.get_boundary()
    assert boundary is not None
    assert answer.body == _multipart(boundary, ranges)


def _multipart(boundary: str, ranges: list[tuple[int, int]]) -> bytes:
    """RFC 9110, 14.6, written here once more: the email parser would change line ends in bytes."""
    pieces = [
        f"--{boundary}\r\nContent-Type: application/octet-stream\r\n"
        f"Content-Range: bytes {first}-{last}/{_SIZE}\r\n\r\n".encode()
        + _CONTENT[first : last + 1]
        + b"\r\n"
        for first, last in ranges
    ]
    return b"".join(pieces) + f"--{boundary}--\r\n".encode()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=" + ",".join(["7-7"] * 1_000), [range(7, 8)]),
        ("bytes=0-9,5-14", [range(15)]),
        ("bytes=5-14,0-9", [range(15)]),
        ("bytes=50-59,0-9,5-14,55-56", [range(50, 60), range(15)]),
        ("bytes=0-49,10-19,30-39", [range(50)]),
        ("bytes=90-,-15", [range(85, 100)]),
        ("bytes=0-4,5-9", [range(5), range(5, 10)]),
        ("bytes=5-9,0-4", [range(5, 10), range(5)]),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(0, 100, 2)), [range(n, n + 1) for n in range(0, 100, 2)]),
    ],
)
def test_ranges_that_overlap_become_one_in_the_place_of_the_first(header: str, expected: list[range]) -> None:
    assert parse_range(header, 100 if len(header) < 1_000 else 1_000) == expected


@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)), min_size=1, max_size=12))
def test_coalesced_ranges_have_the_same_bytes_and_each_once(pairs: list[tuple[int, int]]) -> None:
    wanted = [range(first, min(first + more + 1, 100)) for first, more in pairs]
    header = "bytes=" + ",".join(f"{first}-{first + more}" for first, more in pairs)
    found = parse_range(header, 100)
    if found is None:
        assert sum(map(len, wanted)) > 100
        return
    sent = [byte for part in found for byte in part]
    assert sorted(sent) == sorted({byte for part in wanted for byte in part})


async def test_1000_identical_ranges_are_answered_with_one_part(client: Client) -> None:
    answer = await _get(client, "bytes=" + ",".join(["7-7"] * 1_000))
    assert (answer.status, answer.headers["Content-Range"]) == (206, f"bytes 7-7/{_SIZE}")
    assert answer.body == _CONTENT[7:8]


async def test_a_range_that_cannot_be_satisfied_is_left_out_of_several(client: Client) -> None:
    answer = await _get(client, f"bytes=0-1,{_SIZE}-,5-6")
    assert answer.status == 206
    assert answer.body.count(b"Content-Range: ") == 2


@pytest.mark.parametrize("header", [f"bytes={_SIZE}-", "bytes=-0", "bytes=500-0", "bytes=99999-,99999-"])
async def test_a_range_outside_is_answered_416_with_the_size(client: Client, header: str) -> None:
    answer = await _get(client, header)
    answer.assert_error(416, "SIZE_INVALID")
    assert answer.headers["Content-Range"] == f"bytes */{_SIZE}"


async def test_an_empty_blob_has_no_range(client: Client) -> None:
    digest = await push_blob(client, "app", b"")
    answer = await ask(client, "GET", f"/v2/app/blobs/{digest}", {"Range": "bytes=0-"})
    answer.assert_error(416, "SIZE_INVALID")
    assert answer.headers["Content-Range"] == "bytes */0"


async def test_head_ignores_range(client: Client) -> None:
    path = f"/v2/app/blobs/{await push_blob(client, 'app', _CONTENT)}"
    for header in ["bytes=0-9", "bytes=99999-", "bytes=0-1,3-4"]:
        answer = await ask(client, "HEAD", path, {"Range": header})
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(_SIZE))
        assert answer.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("validator", "status"),
    [
        (f'"{digest_of(_CONTENT)}"', 206),
        (f'W/"{digest_of(_CONTENT)}"', 200),
        (digest_of(_CONTENT), 200),
        (f'"{digest_of(b"other")}"', 200),
        ("Mon, 23 Nov 2026 18:00:00 GMT", 200),
        ("", 206),
    ],
)
async def test_if_range_wants_the_strong_etag(client: Client, validator: str, status: int) -> None:
    answer = await _get(client, "bytes=0-9", If_Range=validator)
    assert answer.status == status
    assert answer.body == (_CONTENT[:10] if status == 206 else _CONTENT)


async def test_a_download_is_resumed_with_range_and_if_range(client: Client) -> None:
    path = f"/v2/app/blobs/{await push_blob(client, 'app', _CONTENT)}"
    whole = await ask(client, "GET", path)
    begun = whole.body[:1_000]
    answer = await ask(client, "GET", path, {"Range": "bytes=1000-", "If-Range": whole.headers["ETag"]})
    assert begun + answer.body == _CONTENT


@pytest.mark.parametrize("noun", ["blobs", "manifests"])
async def test_the_etag_is_the_digest_and_there_is_no_last_modified(client: Client, noun: str) -> None:
    content = image()
    await push_image(client, "app", content)
    digest = content.digest if noun == "manifests" else digest_of(content.blobs[0])
    for method in ["GET", "HEAD"]:
        answer = await ask(client, method, f"/v2/app/{noun}/{digest}")
        assert answer.headers["ETag"] == f'"{digest}"'
        assert "Last-Modified" not in answer.headers


@pytest.mark.parametrize(
    ("known", "status"),
    [
        ('"DIGEST"', 304),
        ('W/"DIGEST"', 304),
        ('"other", "DIGEST"', 304),
        ("*", 304),
        ('"other"', 200),
        ("DIGEST", 304),
        ("W/DIGEST", 304),
        ("other,DIGEST", 304),
        ('"', 200),
        (",", 200),
        ("DIGESTx", 200),
        ("", 200),
        ("x" * 5_000, 200),
    ],
)
@pytest.mark.parametrize("noun", ["blobs", "manifests"])
async def test_what_a_client_has_already_is_answered_304_without_body(
    client: Client, noun: str, known: str, status: int
) -> None:
    content = image()
    await push_image(client, "app", content, "latest")
    digest = content.digest if noun == "manifests" else digest_of(content.blobs[0])
    async with connected(client) as connection:
        for method in ["GET", "HEAD"]:
            path = f"/v2/app/{noun}/{'latest' if noun == 'manifests' else digest}"
            answer = await connection.request(method, path, {"If-None-Match": known.replace("DIGEST", digest)})
            assert answer.status == status
            assert answer.headers["Docker-Content-Digest"] == digest
            assert (answer.body == b"") == (status == 304 or method == "HEAD")
