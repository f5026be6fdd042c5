"""Framing of request bodies by HTTP/1.1 (RFC 9112, section 6), without a copy of their bytes.

As strict as aiohttp's parser, which reads heads alone: a proxy in front must not see another end than we do.
"""

import re
from typing import Protocol

from pyregistry.common.overriding import override

MAX_LINE_BYTES = 1024
"""Bytes of a chunk's size with its extensions, or of a trailer."""
_MAX_TRAILERS = 64
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;" + _TOKEN + rb"(?:=(?:" + _QUOTED + rb"|" + _TOKEN + rb")?)?)*")
_LAST_CHUNK = b"0\r\n\r\n"
_NEXT_SIZE = re.compile(rb"\r\n([0-9A-Fa-f]{1,15})\r\n")
_NEXT_SIZE_ROOM = 19
_TRAILER = re.compile(_TOKEN + rb":[\t -~\x80-\xff]*")


class FramingInvalid(Exception):
    """Bytes that cannot be part of a body; the message says why."""


class Framing(Protocol):
    """Finds a body in the bytes of a connection."""

    ended: bool
    """True once the whole body was decoded."""
    rest: bytes
    """The bytes after the body, which belong to the next request."""
    failure: FramingInvalid | None
    """The framing error after the decoded bytes, if any. Nothing is decoded after it."""

    def body_of(self, data: memoryview) -> list[memoryview]:
        """Return the parts of `data` that belong to the body."""

    def may_end_with(self, data: memoryview) -> bool:
        """Return True if `data` may complete the body: then do not wait for more."""


class Counted(Framing):
    """A body with a Content-Length."""

    def __init__(self, length: int) -> None:
        self._missing = length
        self.ended = length == 0
        self.rest = b""
        self.failure: FramingInvalid | None = None

    @override
    def body_of(self, data: memoryview) -> list[memoryview]:
        piece = data[: self._missing]
        self._missing -= len(piece)
        self.ended = self._missing == 0
        self.rest = bytes(data[len(piece) :])
        return [piece] if piece else []

    @override
    def may_end_with(self, data: memoryview) -> bool:
        return len(data) >= self._missing


class Chunked(Framing):
    """A body in chunked transfer coding."""

    def __init__(self) -> None:
        self.ended = False
        self.rest = b""
        self.failure: FramingInvalid | None = None
        self._missing = 0
        """Bytes of the current chunk that have not arrived."""
        self._begun = b""
        """The beginning of a line whose end has not arrived."""
        self._take_line = self._take_size
        self._trailers = 0

    @override
    def body_of(self, data: memoryview) -> list[memoryview]:
        pieces: list[memoryview] = []
        if self.failure is not None:
            return pieces
        try:
            self._find(data, pieces)
        except FramingInvalid as error:
            self.failure = error
        return pieces

    @override
    def may_end_with(self, data: memoryview) -> bool:
        # A body's own bytes can look like an end.
        return data[-len(_LAST_CHUNK) :] == _LAST_CHUNK

    def _find(self, data: memoryview, pieces: list[memoryview]) -> None:
        at, end = 0, len(data)
        while at < end and not self.ended:
            if self._missing:
                piece = data[at : at + self._missing]
                pieces.append(piece)
                at += len(piece)
                self._missing -= len(piece)
                if not self._missing:
                    at = self._skip_to_next(data, at)
            else:
                at = self._read_line(data, at)
        if self.ended:
            self.rest = bytes(data[at:])

    def _skip_to_next(self, data: memoryview, at: int) -> int:
        """Skip to the next chunk; nearly always its size has arrived as well, and has no extensions."""
        found = _NEXT_SIZE.match(bytes(data[at : at + _NEXT_SIZE_ROOM]))
        if found is not None and (size := int(found[1], 16)):
            self._missing = size
            return at + found.end()
        self._take_line = self._take_end_of_chunk
        return at

    def _read_line(self, data: memoryview, at: int) -> int:
        """Read a line if it is complete; return the position after what was read."""
        line = self._begun + bytes(data[at : at + MAX_LINE_BYTES + 2 - len(self._begun)])
        end = line.find(b"\r\n")
        if end < 0:
            if len(line) >= MAX_LINE_BYTES + 2:
                raise FramingInvalid("a line is too long")
            at += len(line) - len(self._begun)
            self._begun = line
            return at
        at += end + 2 - len(self._begun)
        self._begun = b""
        self._take_line(line[:end])
        return at

    def _take_size(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise FramingInvalid("the size of a chunk, or its extension, is invalid")
        self._missing = int(found[1], 16)
        if not self._missing:
            self._take_line = self._take_trailer

    def _take_end_of_chunk(self, line: bytes) -> None:
        if line:
            raise FramingInvalid("a chunk is longer than its size")
        self._take_line = self._take_size

    def _take_trailer(self, line: bytes) -> None:
        self._trailers += 1
        if not line:
            self.ended = True
        elif self._trailers > _MAX_TRAILERS or not _TRAILER.fullmatch(line):
            raise FramingInvalid("not a trailer")
