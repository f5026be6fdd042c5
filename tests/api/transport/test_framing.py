"""Ends of bodies: aiohttp's parser, as an example of all others on the way, must agree."""

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given
from hypothesis import strategies as st

from pyregistry.api.transport.framing import MAX_LINE_BYTES, Chunked, Counted, Framing
from tests.raw import chunked

_HEAD = b"PATCH / HTTP/1.1\r\nHost: registry.test\r\nTransfer-Encoding: chunked\r\n\r\n"
_NEXT = b"GET /v2/ HTTP/1.1\r\n"
_WORDS = [
    b"\r\n",
    b"\r",
    b"\n",
    b"0",
    b"5",
    b"F",
    b"1a",
    b"0x5",
    b"-",
    b" ",
    b";",
    b";a=b",
    b'="c"',
    b"hello",
    b"X-A: b",
]
_EXTENSION = st.lists(st.sampled_from([b";", b"=", b'"', b"\\", b"a", b" ", b"\t", b",", b"\xe4", b"\x7f"]), max_size=9)
_EXTENDED = _EXTENSION.map(lambda parts: b"1;" + b"".join(parts) + b"\r\nx\r\n0\r\n\r\n")
_LOOSE = st.lists(st.sampled_from(_WORDS), max_size=20).map(b"".join)
_VALID = st.lists(st.binary(min_size=1, max_size=300), max_size=6).map(lambda pieces: chunked(*pieces))


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """For aiohttp's parser, which asks for one."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


def found(framing: Framing, *pieces: bytes) -> tuple[bytes, bytes]:
    """The body and what came behind it."""
    body = b"".join(b"".join(framing.body_of(memoryview(piece))) for piece in pieces)
    return body, framing.rest


def by_aiohttp(loop: asyncio.AbstractEventLoop, data: bytes) -> tuple[bytes, bool, bool]:
    """The body, whether it ended, and whether something before its end was refused."""
    parser = HttpRequestParser(BaseProtocol(loop), loop, 1 << 20)
    content = parser.feed_data(_HEAD)[0][0][1]
    assert isinstance(content, StreamReader)
    refused = False
    try:
        parser.feed_data(data)
    except HttpProcessingError:
        refused = not content.is_eof()
    return content.read_nowait(), content.is_eof(), refused


@given(body=_VALID, behind=st.sampled_from([b"", _NEXT, b"\r\n", b"0\r\n\r\n"]), cut=st.integers(1, 40))
def test_a_body_in_any_pieces_ends_where_its_last_chunk_does(body: bytes, behind: bytes, cut: int) -> None:
    whole, rest = found(Chunked(), body + behind)
    assert rest == behind
    framing = Chunked()
    pieces = [body[at : at + cut] for at in range(0, len(body), cut)]
    assert found(framing, *pieces) == (whole, b"")
    assert framing.ended


@given(data=st.one_of(_LOOSE, _EXTENDED, st.tuples(_VALID, _LOOSE, _VALID).map(b"".join), st.binary(max_size=60)))
def test_whatever_comes_aiohttps_parser_sees_the_same_body_and_the_same_end(
    loop: asyncio.AbstractEventLoop, data: bytes
) -> None:
    framing = Chunked()
    body, rest = found(framing, data)
    expected, ended, refused = by_aiohttp(loop, data)
    if framing.ended:
        assert (body, ended, refused) == (expected, True, False)
        assert not by_aiohttp(loop, data[: len(data) - len(rest) - 1])[1]
    else:
        assert expected.startswith(body)
        assert framing.failure is not None or not ended


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(data, id=fact)
        for fact, data in {
            "no size": b"\r\n",
            "a size that is none": b"zz\r\n",
            "a sign": b"+5\r\nhello\r\n0\r\n\r\n",
            "a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
            "an underscore": b"1_0\r\n",
            "a space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
            "a space behind the size": b"5 \r\nhello\r\n0\r\n\r\n",
            "a size above 60 bits": b"1000000000000000\r\n",
            "a line that ends with LF alone": b"5\nhello\r\n0\r\n\r\n",
            "a line that ends with CR alone": b"5\rhello\r\n0\r\n\r\n",
            "LF in an extension": b"5;a\n0\r\nhello\r\n0\r\n\r\n",
            "NUL in an extension": b"5;a\0\r\nhello\r\n0\r\n\r\n",
            "an extension without a name": b"5;\r\nhello\r\n0\r\n\r\n",
            "an extension without a name after another": b"5;a;\r\nhello\r\n0\r\n\r\n",
            "a space in an extension": b"5; a=b\r\nhello\r\n0\r\n\r\n",
            "a quote without an end": b'5;a="b\r\nhello\r\n0\r\n\r\n',
            "more behind a quote": b'5;a="b"c\r\nhello\r\n0\r\n\r\n',
            "an extension of the last chunk without a name": b"5\r\nhello\r\n0;\r\n\r\n",
            "an extension without an end": b"5;" + b"a" * MAX_LINE_BYTES,
            "a chunk that is longer than its size": b"5\r\nhello!\r\n0\r\n\r\n",
            "a chunk that ends with LF alone": b"5\r\nhello\n0\r\n\r\n",
            "a trailer without a colon": b"0\r\nX\r\n\r\n",
            "a trailer that is folded": b"0\r\nX: a\r\n b\r\n\r\n",
            "a trailer without an end": b"0\r\nX: " + b"a" * MAX_LINE_BYTES,
            "many trailers": b"0\r\n" + b"X: a\r\n" * 100 + b"\r\n",
        }.items()
    ],
)
@pytest.mark.parametrize("cut", [1, 1 << 20])
def test_what_is_no_chunk_is_refused(data: bytes, cut: int) -> None:
    framing = Chunked()
    found(framing, *(data[at : at + cut] for at in range(0, len(data), cut)))
    assert framing.failure is not None
    assert not framing.ended


def test_extensions_and_trailers_are_read_over() -> None:
    body = b'5;name="a \\"value\\"";a=;b;c=d\r\nhello\r\n0;last\r\nX-Checksum: 1\r\nX-Other:\r\n\r\n'
    assert found(Chunked(), body + _NEXT) == (b"hello", _NEXT)


def test_a_counted_body_ends_after_its_length() -> None:
    framing = Counted(7)
    assert found(framing, b"abc", b"def") == (b"abcdef", b"")
    assert not framing.ended
    assert found(framing, b"g" + _NEXT) == (b"g", _NEXT)
    assert framing.ended


@given(_VALID)
def test_nobody_waits_for_more_than_a_whole_body(body: bytes) -> None:
    assert Chunked().may_end_with(memoryview(body))


@pytest.mark.parametrize("data", [b"", b"\r\n", b"5\r\nhello\r\n", chunked(b"hello")[:-1]])
def test_more_may_come_behind_a_part_of_a_body(data: bytes) -> None:
    assert not Chunked().may_end_with(memoryview(data))


def test_a_counted_body_may_end_with_its_last_byte() -> None:
    framing = Counted(7)
    framing.body_of(memoryview(b"123"))
    assert [framing.may_end_with(memoryview(data)) for data in (b"456", b"4567", b"4567GET")] == [False, True, True]
