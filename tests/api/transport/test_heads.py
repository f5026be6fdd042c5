"""Heads of requests do not depend on the packets in which they arrive."""

import asyncio
from itertools import combinations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from pyregistry.api.transport.heads import Heads
from tests.raw import connected

Client = TestClient[web.Request, web.Application]

BARE = b"GET /v2/ HTTP/1.0\r\n\r\n"
FULL = b"GET /v2/ HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n"


def _heads(pieces: list[bytes]) -> list[bytes]:
    heads, found, head = Heads(), list[bytes](), b""
    for piece in pieces:
        at = 0
        while at < len(piece):
            part, at = heads.take(piece, at)
            head += part
            if head.strip() and head.endswith(b"\r\n\r\n"):
                heads.end()
                found.append(head)
                head = b""
    return found


@pytest.mark.parametrize(
    "heads",
    [
        [BARE],
        [FULL],
        [BARE, FULL],
        [FULL, BARE, BARE],
        [b"\r\n" + BARE, b"\r\n" + FULL],
        [b"\r\n\r\n" + BARE, BARE],
    ],
)
def test_heads_are_found_wherever_their_packets_end(heads: list[bytes]) -> None:
    stream = b"".join(heads)
    assert _heads([stream]) == heads
    for first, second in combinations(range(1, len(stream)), 2):
        assert _heads([stream[:first], stream[first:second], stream[second:]]) == heads, (first, second)
    assert _heads([bytes([byte]) for byte in stream]) == heads


@pytest.mark.parametrize("rest", [b"\r\n", b"Host: x\r\n\r\n", b"\r\nGET /v2/ HTTP/1.0\r\n\r\n"])
async def test_a_request_whose_first_line_comes_alone_is_answered(client: Client, rest: bytes) -> None:
    """As a person types it, or as a client sends it that flushes each line."""
    async with connected(client) as connection:
        await connection.send(b"GET /v2/ HTTP/1.0\r\n")
        await asyncio.sleep(0.05)  # it has arrived by itself
        for byte in rest:
            await connection.send(bytes([byte]))
        assert (await connection.answer()).status == 200
