"""Byte ranges in headers: `Range` of a download (RFC 9110), `Content-Range` of a chunk (end-5)."""

import re

from pyregistry.oci.errors import SizeInvalid, UploadRangeInvalid

MAX_RANGES = 4_000
"""podman requests up to 1,024 ranges of a zstd:chunked layer at once. More would delay others: 1.5 µs each."""
_SPEC = re.compile(r"[ \t]*+(?:([0-9]{1,19})[ \t]*+-[ \t]*+([0-9]{1,19})?|-[ \t]*+([0-9]{1,19}))[ \t]*+", re.ASCII)
_CONTENT_RANGE = re.compile(r"(?:bytes[ =])?([0-9]{1,19})-([0-9]{1,19})(?:/(?:\*|[0-9]{1,19}))?", re.ASCII)


def parse_range(header: str, size: int) -> list[range] | None:
    """Return the parts of `size` bytes that a `Range` requests; overlapping parts become one.

    None: send everything (another unit, malformed, too many, or more bytes than the blob has). An empty list: none
    can be satisfied, which is a 416.
    """
    unit, _, specs = header.partition("=")
    parts = [part for part in specs.split(",") if part.strip()]  # a list may have empty elements (RFC 9110, 5.6.1)
    if unit.strip().lower() != "bytes" or not 0 < len(parts) <= MAX_RANGES:
        return None
    found = []
    for part in parts:
        match = _SPEC.fullmatch(part)
        if match is None:
            return None
        found.append(_resolve(match, size))
    satisfiable = [part for part in found if part]
    # Overlapping ranges may not make the response larger than the blob (RFC 9110, 14.2).
    return None if sum(map(len, satisfiable)) > size else _coalesced(satisfiable)


def _coalesced(parts: list[range]) -> list[range]:
    """Join overlapping parts, at the position of the first (RFC 9110, 15.3.7.2).

    Adjacent parts stay separate: podman counts the parts of a response, and requests neighbours one by one.
    """
    found: list[tuple[int, range]] = []
    for number, part in sorted(enumerate(parts), key=lambda numbered: numbered[1].start):
        first, last = found[-1] if found else (number, range(0))
        if part.start < last.stop:
            found[-1] = min(first, number), range(last.start, max(last.stop, part.stop))
        else:
            found.append((number, part))
    return [part for _, part in sorted(found, key=lambda numbered: numbered[0])]


def _resolve(match: re.Match[str], size: int) -> range:
    first, last, suffix = match.groups()
    if suffix is not None:
        return range(max(size - int(suffix), 0), size)
    begin = int(first)
    if last is None:
        return range(begin, size)
    return range(begin, min(int(last) + 1, size))  # empty, so not satisfiable, for `500-0`


def parse_content_range(header: str) -> range:
    """Return the bytes of a chunk: `0-99` in the spec, `bytes 0-99/100` and `bytes=0-99` from clients.

    Raises UploadRangeInvalid for anything else.
    """
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if match is None:
        raise UploadRangeInvalid("Content-Range is FIRST-LAST, in bytes and inclusive")
    first, last = map(int, match.groups())
    if last < first:
        raise UploadRangeInvalid("the last byte of Content-Range is before its first")
    return range(first, last + 1)


def check_length(announced: range, content_length: int | None) -> None:
    """Raise SizeInvalid if `Content-Range` and `Content-Length` contradict each other."""
    if content_length is not None and content_length != len(announced):
        raise SizeInvalid(f"Content-Range announces {len(announced)} bytes, Content-Length {content_length}")
