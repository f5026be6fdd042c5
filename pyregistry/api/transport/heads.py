"""Heads of requests: each is delimited, bounded and validated by itself, before the bytes after it are read.

A proxy forwards what it takes for a body and reuses the connection for the next client. If we took such bytes for a
request, it would carry that client's credentials. So the parser gets one head at a time, and nothing else.
docs/decisions/0024 has the reasons.
"""

import re

from pyregistry.oci.errors import (
    HeadTooLarge,
    RegistryError,
    RequestInvalid,
    TargetTooLong,
    TlsToPlainPort,
    VersionUnsupported,
)

MAX_HEAD_BYTES = 100 * 1024
"""Bytes of a request line and all headers."""
MAX_LINE_BYTES = 64 * 1024
"""Bytes of a target, and of a header's name and value."""
MAX_SLASHES = 512
"""Slashes in a path: three times those of the longest name. The time of routing grows with their square."""
MAX_HEADERS = 1_000
END_OF_HEAD = b"\r\n\r\n"
END_OF_LINE = b"\r\n"
BEGIN = re.compile(rb"[\r\n]*(?:[A-Z]|\Z)")
_CHUNKED = re.compile("chunked", re.ASCII | re.IGNORECASE)
_LENGTH = re.compile(r"[0-9]{1,19}", re.ASCII)
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")
_NEWER = re.compile(rb"[\r\n]*[^\r\n]* HTTP/[2-9]\.[0-9]\r\n")
NO_REQUEST = "not a valid HTTP request"
_HANDSHAKE = b"\x16\x03"
"""Type and major version of the first record of a TLS client (RFC 8446, 5.1)."""


FIRST_COUNTS = frozenset({b"content-location", b"content-type", b"etag", b"max-forwards", b"server", b"user-agent"})
"""Headers that aiohttp's parser accepts once. Of several lines the first counts, as in the CNCF registry.

They have no effect on the end of a body or on the caller.
"""
SAME_COUNTS = frozenset({b"content-length", b"content-range"})
"""The same, if the values are equal. `Host` and `Transfer-Encoding` may appear only once, as in the CNCF registry."""


def without_repetitions(head: bytes) -> bytes | None:
    """Return a head without its repeated lines; None if no line is repeated.

    RFC 9110, 8.6 allows this for a `Content-Length` with equal values. Other faults stay, also in such a line: after
    a bare line end another reader may find the length of a body.
    """
    if not head.endswith(END_OF_HEAD) or b"\n " in head or b"\n\t" in head:  # a value may continue on the next line
        return None
    kept: list[bytes] = []
    said: dict[bytes, bytes] = {}
    lines = head.split(END_OF_LINE)
    for line in lines:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if name in FIRST_COUNTS or name in SAME_COUNTS:
            if _VALUE.fullmatch(value) is None:
                return None
            if name in said and (name in FIRST_COUNTS or said[name] == value):
                continue
            said[name] = value
        kept.append(line)
    return None if len(kept) == len(lines) else END_OF_LINE.join(kept)


def has_body(method: str, target: str, *, is_http10: bool, coding: str | None, length: str | None) -> bool:
    """Return True if a head announces a body.

    `coding` and `length` are the values of Transfer-Encoding and Content-Length. Raises TargetTooLong, and
    RequestInvalid for a head whose body may end elsewhere for another reader.
    """
    if target.count("/") > MAX_SLASHES and target.partition("?")[0].count("/") > MAX_SLASHES:
        raise TargetTooLong(f"a path has at most {MAX_SLASHES} slashes here")
    if length is not None and not _LENGTH.fullmatch(length):
        raise RequestInvalid("Content-Length is a number of at most 19 digits")
    if coding is not None and (is_http10 or length is not None or not _CHUNKED.fullmatch(coding)):
        raise RequestInvalid("the only transfer coding is chunked, of HTTP/1.1 and without Content-Length")
    if method == "CONNECT":  # a tunnel to some readers, a request with a body to others
        raise RequestInvalid(NO_REQUEST)
    return coding is not None or (length is not None and int(length) > 0)


def no_request(data: bytes) -> RegistryError:
    """Return the error for bytes that are not an HTTP/1.1 head."""
    if data.startswith(_HANDSHAKE):
        return TlsToPlainPort("this port speaks plain HTTP, and the client began a TLS handshake")
    return VersionUnsupported("HTTP/1.1 is expected") if _NEWER.match(data) else RequestInvalid(NO_REQUEST)


def too_many_headers() -> RegistryError:
    """Return the error for a head with more than MAX_HEADERS headers."""
    return HeadTooLarge(f"a request has at most {MAX_HEADERS} headers here")


def too_large(has_target: bool) -> RegistryError:
    """Return the error for a head above a limit; `has_target` if its request line was complete."""
    if has_target:
        return HeadTooLarge(f"a header has at most {MAX_LINE_BYTES} bytes here, and a head {MAX_HEAD_BYTES}")
    return TargetTooLong(f"a request line has at most {MAX_LINE_BYTES} bytes here")


class Heads:
    """Finds the heads in the bytes of one connection, and keeps an incomplete one."""

    def __init__(self) -> None:
        self._begun = bytearray()
        """Bytes that the parser has not got yet."""
        self._given = 0
        """The number of bytes of this head that the parser has got."""
        self._has_target = False
        """True if the parser has got the whole request line; the rest of the head is kept here."""

    def take(self, data: bytes, at: int = 0) -> tuple[bytes, int]:
        """Return the parser's next piece of `data` from `at` on, empty while the head is incomplete, and its end.

        The end is a position, not the remaining bytes: copying those for each head would be quadratic.
        Raises HeadTooLarge, TargetTooLong.
        """
        end = data.find(END_OF_HEAD, at) + len(END_OF_HEAD)
        is_first = not self._begun and not self._has_target
        if end >= len(END_OF_HEAD) and is_first and self._given + end - at <= MAX_HEAD_BYTES:
            self._given += end - at
            return data[at:end], end
        piece, left = self._take_part(data[at:])
        return piece, len(data) - left

    def end(self) -> None:
        """Begin the next head."""
        self._given, self._has_target = 0, False

    def _take_part(self, data: bytes) -> tuple[bytes, int]:
        before = len(self._begun)
        self._begun += data
        end = self._end_of_head(before)
        is_whole = end > 0
        if not is_whole:
            end = self._end_of_what_the_parser_may_see(before)
        if self._given + (end if is_whole else before + len(data)) > MAX_HEAD_BYTES:
            raise too_large(self._has_target or 0 <= self._begun.find(END_OF_LINE) <= MAX_LINE_BYTES)
        piece, left = bytes(self._begun[:end]), len(self._begun) - end if is_whole else 0
        if is_whole:
            self._begun.clear()
        else:
            del self._begun[:end]
        self._given += end
        return piece, left

    def _end_of_head(self, before: int) -> int:
        """Return the position after the head; 0 while it is incomplete."""
        if self._has_target and self._begun.startswith(END_OF_LINE):  # there are no headers
            return len(END_OF_LINE)
        at = self._begun.find(END_OF_HEAD, max(before - 3, 0))
        return at + len(END_OF_HEAD) if at >= 0 else 0

    def _end_of_what_the_parser_may_see(self, before: int) -> int:
        """Return the end of the request line, or of bytes that are invalid whatever follows them."""
        begun = self._begun
        if not self._given and not BEGIN.match(begun):
            return len(begun)
        begin = before - 1 if before and begun[before - 1 : before] == b"\r" else before
        pairs = begun.count(b"\r\n", begin)
        if begun.count(b"\n", begin) != pairs or begun.count(b"\r", begin, len(begun) - 1) > pairs:
            return len(begun)
        if self._has_target:
            return 0
        end = begun.find(END_OF_LINE)
        self._has_target = end > 0
        return end + len(END_OF_LINE) if end >= 0 else 0
