"""One line per request: never a query string, a credential or another header.

Combined Log Format as the CNCF registry writes it, or JSON. Every text that a client chose is cut and escaped, so that
nobody can forge a line or break one in two; a line stays below 4096 bytes, which a pipe takes in one piece.
"""

import asyncio
import re
import sys
import time as clock
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import BinaryIO, NamedTuple

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from pyregistry.api.http.decision import caller_of
from pyregistry.api.http.sent import body_bytes_sent
from pyregistry.api.http.targets import raw_path
from pyregistry.common.visible import LOGSTASH_FIELDS, visible

LOGGER = "pyregistry.access"
"""What a line of JSON says it comes from."""

_PATH_ROOM, _TEXT_ROOM = 1024, 200
"""The most characters of a path, and of any other text, that a line shows."""
_SAFE = re.compile(r"[ !#-\[\]-~]*")
_SAFE_WORD = re.compile(r"[!#-\[\]-~]*")
_PIPE_ROOM = 4096
"""Bytes that a pipe takes in one piece (PIPE_BUF on Linux)."""
_REMEMBERED = 256
"""Texts whose escaped form is kept: clients say who they are in the same words all day."""


class Entry(NamedTuple):
    """What a line tells of a request: texts as the client sent them, `size` in bytes; empty where there is nothing."""

    remote: str
    request_id: str
    user: str
    method: str
    path: str
    protocol: str
    repository: str
    status: int
    size: int
    agent: str


class AccessLogger(AbstractAccessLogger):
    """Called when the answer is out, so that bytes and time are what really happened.

    In Combined Log Format. Its second field, which servers leave empty, is the request's id, so that what reads such
    logs need not learn another format. The field for the referrer stays empty: no client of a registry sends one, and
    a browser's could hold a secret.

    Not by way of `logging`, whose records and locks cost more than the answer to a small request: the lines of one turn
    of the event loop are written together, after its answers.
    """

    def __init__(self, stream: BinaryIO | None = None) -> None:
        """To standard output, unless `stream` is given."""
        self._stream = stream or sys.stdout.buffer
        self._lines: list[bytes] = []

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """See AbstractAccessLogger; `time` is in seconds."""
        caller = caller_of(request)
        entry = Entry(
            caller.remote,
            caller.request_id,
            caller.principal.name or "",
            request.method,
            raw_path(request),
            f"HTTP/{request.version.major}.{request.version.minor}",
            _repository(request),
            response.status,
            body_bytes_sent(request, response),
            caller.user_agent,
        )
        self.write(entry, time)

    def write(self, entry: Entry, seconds: float) -> None:
        """A line for this answer, which took so long."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append(self._line(entry, seconds).encode(errors="backslashreplace") + b"\n")

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        with suppress(OSError):  # who read it is gone, or the disk is full: no reason to stop serving
            for piece in in_pieces(lines):
                self._stream.write(piece)
                self._stream.flush()

    def _line(self, entry: Entry, seconds: float) -> str:
        user = _escaped(entry.user, _TEXT_ROOM, _SAFE_WORD) or "-"
        begun = _moment(int(clock.time() - seconds))
        path = _escaped(entry.path, _PATH_ROOM, _SAFE_WORD)
        agent = _escaped(entry.agent, _TEXT_ROOM, _SAFE)
        return (
            f"{entry.remote or '-'} {entry.request_id} {user} [{begun}] "
            f'"{entry.method} {path} {entry.protocol}" {entry.status} {entry.size} "-" "{agent}"'
        )


class JsonAccessLogger(AccessLogger):
    """The same and more as JSON, for `log.formatter` json."""

    _TIMESTAMP = "timestamp"

    def __init__(self, stream: BinaryIO | None = None, fields: Mapping[str, object] | None = None) -> None:
        """`fields` are members of each line; those of a request win. Many of them may make it longer than a pipe."""
        super().__init__(stream)
        self._fields = dict(fields or {})

    def _line(self, entry: Entry, seconds: float) -> str:
        return msgspec.json.encode({**self._fields, **self._members(entry, seconds)}).decode()

    def _members(self, entry: Entry, seconds: float) -> dict[str, object]:
        return {
            self._TIMESTAMP: datetime.now(UTC).isoformat(timespec="microseconds"),
            "logger": LOGGER,
            "request_id": entry.request_id,
            "remote": entry.remote,
            "user": _text(entry.user, _TEXT_ROOM) or None,
            "method": entry.method,
            "path": _text(entry.path, _PATH_ROOM),
            "protocol": entry.protocol,
            "repository": _text(entry.repository, _TEXT_ROOM) or None,
            "status": entry.status,
            "bytes": entry.size,
            "seconds": round(seconds, 6),
            "agent": _text(entry.agent, _TEXT_ROOM),
        }


class LogstashAccessLogger(JsonAccessLogger):
    """The same with the members that Logstash expects, for `log.formatter` logstash."""

    _TIMESTAMP = "@timestamp"

    def __init__(self, stream: BinaryIO | None = None, fields: Mapping[str, object] | None = None) -> None:
        super().__init__(stream, {**LOGSTASH_FIELDS, **(fields or {})})

    def _members(self, entry: Entry, seconds: float) -> dict[str, object]:
        message = f"{entry.method} {_text(entry.path, _TEXT_ROOM)} {entry.status}"
        return {**super()._members(entry, seconds), "level": "info", "message": message}


def in_pieces(lines: list[bytes]) -> Iterator[bytes]:
    """As many lines at a time as a pipe takes in one piece, so that those of two workers do not mix."""
    piece = b""
    for line in lines:
        if piece and len(piece) + len(line) > _PIPE_ROOM:
            yield piece
            piece = b""
        piece += line
    yield piece


@lru_cache(1)
def _moment(second: int) -> str:
    """Of Unix time, as Combined Log Format writes it."""
    return clock.strftime("%d/%b/%Y:%H:%M:%S +0000", clock.gmtime(second))


def _repository(request: web.BaseRequest) -> str:
    try:
        found = request.match_info if isinstance(request, web.Request) else None
    except AssertionError:  # of aiohttp: no route was looked for, as of a head that was refused
        return ""
    return found.get("name", "") if found else ""


def _text(text: str, room: int) -> str:
    return visible(text[:room])


@lru_cache(_REMEMBERED)
def _escaped(text: str, room: int, safe: re.Pattern[str]) -> str:
    """In printable ASCII: a quote and a backslash with a backslash before them, any other byte as `\\xhh`."""
    if safe.fullmatch(text):
        return text[:room]
    shown = ""
    for character in text[:room]:
        if safe.fullmatch(character):
            piece = character
        elif character in '"\\':
            piece = "\\" + character
        else:
            piece = "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))
        if len(shown) + len(piece) > room:
            break
        shown += piece
    return shown
