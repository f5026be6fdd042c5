"""Access log: one line per request, never with a query string, a credential or another header.

Combined Log Format as in the CNCF registry, or JSON. Text from clients is cut and escaped, so that it cannot forge or
split a line. A line stays below 4096 bytes, which a pipe takes in one piece.
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
from pyregistry.common.overriding import override
from pyregistry.common.visible import LOGSTASH_FIELDS, visible

LOGGER = "pyregistry.access"
"""The `logger` member of a JSON line."""

_PATH_CHARACTERS, _TEXT_CHARACTERS = 1024, 200
"""The most characters of a path, and of other text, in a line."""
_SAFE = re.compile(r"[ !#-\[\]-~]*")
_SAFE_WORD = re.compile(r"[!#-\[\]-~]*")
_PIPE_BYTES = 4096
"""Bytes that a pipe takes in one piece (PIPE_BUF on Linux)."""
_CACHED_TEXTS = 256
"""Texts whose escaped form is cached: clients send the same user agents again and again."""


class LogEntry(NamedTuple):
    """The fields of a line: text as the client sent it, `size` in bytes; empty where unknown."""

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
    """Writes Combined Log Format, called after each response, so that bytes and time are the real ones.

    The second field, which servers leave empty, has the request's id, so that log readers need no other format.
    The referrer stays empty: registry clients send none, and a browser's could hold a secret.

    It does without `logging`, whose records and locks cost more than a small response. The lines of one turn of the
    event loop are written together, after its responses.
    """

    def __init__(self, stream: BinaryIO | None = None) -> None:
        """Write to standard output, unless `stream` is given."""
        self._stream = stream or sys.stdout.buffer
        self._lines: list[bytes] = []

    @override
    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        caller = caller_of(request)
        entry = LogEntry(
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

    def write(self, entry: LogEntry, seconds: float) -> None:
        """Add a line for a response that took `seconds`."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append(self._line(entry, seconds).encode(errors="backslashreplace") + b"\n")

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        with suppress(OSError):  # the reader is gone, or the disk is full: no reason to stop serving
            for piece in in_pieces(lines):
                self._stream.write(piece)
                self._stream.flush()

    def _line(self, entry: LogEntry, seconds: float) -> str:
        user = _escaped(entry.user, _TEXT_CHARACTERS, _SAFE_WORD) or "-"
        begun = _moment(int(clock.time() - seconds))
        path = _escaped(entry.path, _PATH_CHARACTERS, _SAFE_WORD)
        agent = _escaped(entry.agent, _TEXT_CHARACTERS, _SAFE)
        return (
            f"{entry.remote or '-'} {entry.request_id} {user} [{begun}] "
            f'"{entry.method} {path} {entry.protocol}" {entry.status} {entry.size} "-" "{agent}"'
        )


class JsonAccessLogger(AccessLogger):
    """Writes these fields and more as JSON, for `log.formatter` json."""

    _TIMESTAMP = "timestamp"

    def __init__(self, stream: BinaryIO | None = None, fields: Mapping[str, object] | None = None) -> None:
        """Add `fields` to each line; a request's own win. With many fields a line may exceed 4096 bytes."""
        super().__init__(stream)
        self._fields = dict(fields or {})

    def _line(self, entry: LogEntry, seconds: float) -> str:
        return msgspec.json.encode({**self._fields, **self._members(entry, seconds)}).decode()

    def _members(self, entry: LogEntry, seconds: float) -> dict[str, object]:
        return {
            self._TIMESTAMP: datetime.now(UTC).isoformat(timespec="microseconds"),
            "logger": LOGGER,
            "request_id": entry.request_id,
            "remote": entry.remote,
            "user": _text(entry.user, _TEXT_CHARACTERS) or None,
            "method": entry.method,
            "path": _text(entry.path, _PATH_CHARACTERS),
            "protocol": entry.protocol,
            "repository": _text(entry.repository, _TEXT_CHARACTERS) or None,
            "status": entry.status,
            "bytes": entry.size,
            "seconds": round(seconds, 6),
            "agent": _text(entry.agent, _TEXT_CHARACTERS),
        }


class LogstashAccessLogger(JsonAccessLogger):
    """Writes JSON with the members that Logstash expects, for `log.formatter` logstash."""

    _TIMESTAMP = "@timestamp"

    def __init__(self, stream: BinaryIO | None = None, fields: Mapping[str, object] | None = None) -> None:
        super().__init__(stream, {**LOGSTASH_FIELDS, **(fields or {})})

    def _members(self, entry: LogEntry, seconds: float) -> dict[str, object]:
        message = f"{entry.method} {_text(entry.path, _TEXT_CHARACTERS)} {entry.status}"
        return {**super()._members(entry, seconds), "level": "info", "message": message}


def in_pieces(lines: list[bytes]) -> Iterator[bytes]:
    """Yield as many lines as a pipe takes in one piece, so that those of two workers do not mix."""
    piece = b""
    for line in lines:
        if piece and len(piece) + len(line) > _PIPE_BYTES:
            yield piece
            piece = b""
        piece += line
    yield piece


@lru_cache(1)
def _moment(second: int) -> str:
    """Return a Unix time in Combined Log Format."""
    return clock.strftime("%d/%b/%Y:%H:%M:%S +0000", clock.gmtime(second))


def _repository(request: web.BaseRequest) -> str:
    try:
        found = request.match_info if isinstance(request, web.Request) else None
    except AssertionError:  # of aiohttp: the request was not routed, as with a refused head
        return ""
    return found.get("name", "") if found else ""


def _text(text: str, limit: int) -> str:
    return visible(text[:limit])


@lru_cache(_CACHED_TEXTS)
def _escaped(text: str, limit: int, safe: re.Pattern[str]) -> str:
    """Return printable ASCII: a backslash before a quote or backslash, and other bytes as `\\xhh`."""
    if safe.fullmatch(text):
        return text[:limit]
    shown = ""
    for character in text[:limit]:
        if safe.fullmatch(character):
            piece = character
        elif character in '"\\':
            piece = "\\" + character
        else:
            piece = "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))
        if len(shown) + len(piece) > limit:
            break
        shown += piece
    return shown
