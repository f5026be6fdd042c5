"""HTTP by hand, for requests that aiohttp's client would not let out and answers that it would tidy up."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from multidict import CIMultiDict

from tests.push import Client, assert_envelope

DEADLINE = 60
"""Seconds after which a test gives up waiting for a server that says nothing."""

METHODS = (
    *("DELETE", "GET", "HEAD", "POST", "PUT", "CONNECT", "OPTIONS", "TRACE", "COPY", "LOCK", "MKCOL", "MOVE"),
    *("PROPFIND", "PROPPATCH", "SEARCH", "UNLOCK", "BIND", "REBIND", "UNBIND", "ACL", "REPORT", "MKACTIVITY"),
    *("CHECKOUT", "MERGE", "M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "PATCH", "PURGE", "MKCALENDAR"),
    *("LINK", "UNLINK", "SOURCE", "PRI", "DESCRIBE", "ANNOUNCE", "SETUP", "PLAY", "PAUSE", "TEARDOWN"),
    *("GET_PARAMETER", "SET_PARAMETER", "REDIRECT", "RECORD", "FLUSH", "QUERY", "FROB"),
)
"""All that aiohttp's parser knows (llhttp's HTTP_ALL_METHOD_MAP), and one that it does not."""


@dataclass(frozen=True)
class RawAnswer:
    """One answer as it came."""

    line: str
    headers: CIMultiDict[str]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.line.split()[1])

    def assert_error(self, status: int, code: str) -> dict[str, Any]:
        """The answer is the spec's envelope with this status and code; returns its first entry."""
        assert self.status == status, (self.line, self.body)
        assert self.headers["Content-Type"] == "application/json"
        assert self.headers["Content-Length"] == str(len(self.body))
        assert self.headers["Server"] == "pyregistry"
        return assert_envelope(self.body.decode(), status, code)

    def json(self) -> Any:
        return json.loads(self.body)


class RawConnection:
    """One connection to a registry."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def try_to_send(self, data: bytes) -> None:
        """Send, unless the server has closed."""
        with suppress(ConnectionError):
            await self.send(data)

    async def send_again_and_again(self, data: bytes, pause: float) -> None:
        """Until the server closes, which raises ConnectionError."""
        async with asyncio.timeout(DEADLINE):
            while True:
                await self.send(data)
                await asyncio.sleep(pause)

    async def request(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> RawAnswer:
        """Send a whole request; `target` goes out exactly as it is."""
        await self.send(request_head(method, target, headers) + body)
        return await self.answer(method)

    async def answer(self, method: str = "GET") -> RawAnswer:
        """Read one answer; to a HEAD it has no body, whatever its Content-Length."""
        async with asyncio.timeout(DEADLINE):
            head = await self._reader.readuntil(b"\r\n\r\n")
            line, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
            headers = CIMultiDict(
                (name, value.strip()) for name, _, value in (field.partition(":") for field in fields)
            )
            length = 0 if method == "HEAD" or line.split()[1] in {"100", "204", "304"} else headers["Content-Length"]
            return RawAnswer(line, headers, await self._reader.readexactly(int(length)))

    async def wait_for_headers(self) -> None:
        """Read the head of an answer and nothing of its body."""
        async with asyncio.timeout(DEADLINE):
            await self._reader.readuntil(b"\r\n\r\n")

    async def some(self) -> bytes:
        """Return the next bytes, none at the end."""
        async with asyncio.timeout(DEADLINE):
            return await self._reader.read(64 * 1024)

    async def rest(self) -> bytes:
        """All bytes until the server closes; none if it resets the connection."""
        async with asyncio.timeout(DEADLINE):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""

    async def says_nothing(self, seconds: float) -> bool:
        """True if no byte comes, and no end, for that long."""
        try:
            async with asyncio.timeout(seconds):
                await self._reader.read(1)
        except TimeoutError:
            return True
        return False

    async def vanish(self, *, reset: bool) -> None:
        """Close in the middle, politely (FIN) or not (RST)."""
        if reset:
            await asyncio.sleep(0.1)  # what is still under way would be lost with it
            self._writer.transport.abort()
        else:
            self._writer.write_eof()


def request_head(method: str, target: str, headers: Mapping[str, str] | None = None) -> bytes:
    """A request line, Host and `headers`."""
    fields = CIMultiDict({"Host": "registry.test", **(headers or {})})
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@asynccontextmanager
async def connected(client: Client, source: str = "127.0.0.1") -> AsyncIterator[RawConnection]:
    """A connection to the registry that `client` talks to, from this address."""
    host, port = client.server.host, client.server.port
    reader, writer = await asyncio.open_connection(host, port, local_addr=(source, 0))
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.transport.abort()


async def ask(
    client: Client, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> RawAnswer:
    """One request on a connection of its own; `body` is announced unless `headers` say something about it."""
    announced = {} if any(name in (headers or {}) for name in ("Content-Length", "Transfer-Encoding")) else length(body)
    async with connected(client) as connection:
        return await connection.request(method, target, {**announced, **(headers or {})}, body)


async def send_bytes(client: Client, data: bytes, method: str = "GET") -> RawAnswer:
    """Whatever bytes on a connection of its own, and the first answer."""
    async with connected(client) as connection:
        await connection.send(data)
        return await connection.answer(method)


def length(body: bytes) -> dict[str, str]:
    """The Content-Length of a body, if there is one."""
    return {"Content-Length": str(len(body))} if body else {}


def chunked(*pieces: bytes, end: bool = True) -> bytes:
    """The body in chunked transfer coding; without its `end` more may follow."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\n\r\n" if end else b"")
