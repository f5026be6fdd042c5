"""Untrusted JSON, measured by its bytes before it is decoded.

A value takes two bytes to send and 50 to 100 bytes of memory: 4 MiB of small arrays become 100 MiB, and take seconds.
So commas and brackets outside of strings are counted first, in pieces that are searched at the speed of C.
"""

import re
import time
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

import msgspec

from pyregistry.oci.errors import ManifestInvalid

MAX_VALUES: Final = 200_000
"""Commas and opening brackets, at least one for each value. The descriptors that fit into 4 MiB have half as many."""
MAX_DEPTH: Final = 32
_PIECE: Final = 64 * 1024
"""Bytes measured at once, in a tenth of a millisecond during which no other thread runs."""

_OBJECT = re.compile(rb"[ \t\r\n]*\{")
_ESCAPES = re.compile(
    rb"(?:\\\\)+"
    rb"|(?:\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})+"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""Backslashes, surrogate pairs, and, as a group, lone surrogates."""
_BRACKETS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""One level down is 1, one level up is -1 as a signed byte."""
_NO_BRACKETS = bytes(set(range(256)).difference(b"[{]}"))


def read_strictly(content: bytes) -> dict[str, object]:
    """Return the object in `content`, if every JSON reader decodes the same.

    Raises ManifestInvalid, also for equal keys in an object, and above MAX_VALUES or MAX_DEPTH.
    """
    if _OBJECT.match(content) is None:
        raise ManifestInvalid("a manifest is a JSON object")
    keys = measure(content)
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # numbers that are too large, too
        raise ManifestInvalid(f"not valid JSON: {type(error).__name__}") from error
    if count_keys(value) != keys:  # some readers use the first of equal keys, others the last
        raise ManifestInvalid("an object has the same key twice")
    assert isinstance(value, dict)
    return value


def measure(content: bytes, max_depth: int = MAX_DEPTH) -> int:
    """Return the number of object members; raise ManifestInvalid for too many values or levels.

    Exact for valid JSON. For anything else it is exact up to the first byte that a reader would refuse.
    """
    values = keys = depth = 0
    for outside in _outside_of_strings(content):
        values += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        keys += outside.count(b":")
        if values > MAX_VALUES or keys > MAX_VALUES:
            raise ManifestInvalid(f"a manifest has at most {MAX_VALUES} values")
        depths = list(accumulate(_steps(outside), initial=depth))
        if max(depths) > max_depth:
            raise ManifestInvalid(f"a manifest is nested at most {max_depth} levels deep")
        depth = depths[-1]
    return keys


def with_valid_text(content: bytes) -> bytes:
    """Replace invalid text with U+FFFD: bytes that are not UTF-8, and lone surrogates.

    Go does the same, and trees of the CNCF registry have such documents.
    """
    content = content.decode(errors="replace").encode()
    return _ESCAPES.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], content)


def count_keys(value: object) -> int:
    """Return the number of members of all objects in a decoded document."""
    count, level = 0, [value]
    while level:
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                count += len(item)
                below += [member for member in item.values() if isinstance(member, dict | list)]
            elif isinstance(item, list):
                below += [member for member in item if isinstance(member, dict | list)]
        level = below
    return count


def _outside_of_strings(content: bytes) -> Iterator[bytes]:
    is_inside, escape = 0, b""
    for begin in range(0, len(content), _PIECE):
        if begin:
            time.sleep(0)  # without it, other threads wait for the interpreter five milliseconds each time
        piece = escape + content[begin : begin + _PIECE]
        escape = b""
        if b"\\" in piece:
            if (len(piece) - len(piece.rstrip(b"\\"))) % 2:  # the next piece begins with the escaped character
                piece, escape = piece[:-1], b"\\"
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = piece.split(b'"')
        yield b"".join(parts[is_inside::2])
        is_inside ^= 1 - len(parts) % 2


def _steps(outside: bytes) -> memoryview:
    return memoryview(outside.translate(_BRACKETS, _NO_BRACKETS)).cast("b")
