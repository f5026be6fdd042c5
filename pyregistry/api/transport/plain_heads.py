"""Heads for the ordinary way: parsed strictly here, and rewritten so that they have one meaning.

aiohttp has no documented way to see a head before its parser acts on it. So its parser gets only rewritten heads:
no repeated header, no folded line, no offer of another protocol, a tidy target.
"""

import re
from typing import NamedTuple

from yarl import URL

from pyregistry.api.http.targets import is_untidy, tidy
from pyregistry.api.transport.framing import Chunked, Counted, Framing
from pyregistry.api.transport.heads import (
    BEGIN,
    END_OF_HEAD,
    END_OF_LINE,
    FIRST_COUNTS,
    MAX_HEADERS,
    MAX_LINE_BYTES,
    NO_REQUEST,
    SAME_COUNTS,
    has_body,
    no_request,
    too_large,
    too_many_headers,
)
from pyregistry.oci.errors import RequestInvalid

_METHODS = frozenset(
    [
        *("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "ACL", "BIND", "CHECKOUT"),
        *("COPY", "LINK", "LOCK", "M-SEARCH", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE", "NOTIFY"),
        *("PROPFIND", "PROPPATCH", "PURGE", "REBIND", "REPORT", "SEARCH", "SUBSCRIBE", "UNBIND", "UNLINK", "UNLOCK"),
        *("UNSUBSCRIBE", "QUERY"),
    ]
)
"""Registered methods that aiohttp's parser knows; to others it responds in plain text."""
_LINE = re.compile(rb"([A-Z][A-Z-]*) +([!-~]+) +HTTP/(1\.[01])")
_TARGET = re.compile(r"/|[A-Za-z]+://[^/?#]")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t -~\x80-\xff]*)")
_ONCE = frozenset({b"host", b"transfer-encoding"})
_BLANKS = b" \t"

Header = tuple[bytes, bytes]
"""Name and value."""


class Head(NamedTuple):
    """A valid head of a request."""

    content: bytes
    """The rewritten head."""
    target: str
    """The target as the client sent it."""
    framing: Framing | None
    """The framing of the body; None without a body."""


class HeadReader:
    """Joins the pieces of one head after the other, and parses each."""

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, piece: bytes) -> Head | None:
        """Return the head that ends with this piece; None while it is incomplete.

        Raises RequestInvalid, VersionUnsupported, TlsToPlainPort, HeadTooLarge, TargetTooLong.
        """
        if not piece:
            return None
        begun = self._begun = (self._begun + piece).lstrip(END_OF_LINE)  # empty lines before it are allowed
        if begun.endswith(END_OF_HEAD):
            self._begun = b""
            return _read(begun)
        if not BEGIN.match(begun) or _ends_a_line_wrongly(begun):
            raise no_request(begun)
        line, end, _ = begun.partition(END_OF_LINE)
        if end:
            _read_line(line)
        return None


def _ends_a_line_wrongly(begun: bytes) -> bool:
    pairs = begun.count(END_OF_LINE)
    return begun.count(b"\n") != pairs or begun.count(b"\r", 0, len(begun) - 1) > pairs


def _read(data: bytes) -> Head:
    line, *lines = data.removesuffix(END_OF_HEAD).split(END_OF_LINE)
    method, target, version = _read_line(line)
    headers = _one_of_each([_read_header(each) for each in lines])
    if len(lines) > MAX_HEADERS:
        raise too_many_headers()
    found = {name.lower(): value for name, value in headers}
    if version == "1.1" and b"host" not in found:
        raise RequestInvalid(NO_REQUEST)
    coding, length = found.get(b"transfer-encoding"), found.get(b"content-length")
    announced = has_body(
        method,
        target,
        is_http10=version == "1.0",
        coding=None if coding is None else coding.decode("latin-1"),
        length=None if length is None else length.decode("latin-1"),
    )
    if b"upgrade" in found:
        headers = _without_offer(headers, closing=announced)
    content = [f"{method} {_tidy(method, target)} HTTP/{version}".encode("latin-1")]
    content += [b"%s: %s" % header for header in headers]
    framing = None if not announced else Chunked() if length is None else Counted(int(length))
    return Head(END_OF_LINE.join(content) + END_OF_HEAD, target, framing)


def _read_line(line: bytes) -> tuple[str, str, str]:
    """Return method, target and version."""
    if len(line) > MAX_LINE_BYTES:
        raise too_large(False)
    found = _LINE.fullmatch(line)
    if found is None:
        raise no_request(line + END_OF_LINE)
    method, target, version = (each.decode("ascii") for each in found.groups())
    if method not in _METHODS:
        raise RequestInvalid(NO_REQUEST)
    return method, target, version


def _read_header(line: bytes) -> Header:
    if len(line) > MAX_LINE_BYTES:
        raise too_large(True)
    found = _HEADER.fullmatch(line)
    if found is None:
        raise RequestInvalid(NO_REQUEST)
    return found[1], found[2].strip(_BLANKS)


def _one_of_each(headers: list[Header]) -> list[Header]:
    """Remove repetitions of headers that have one value; raise RequestInvalid for two values."""
    kept: list[Header] = []
    said: dict[bytes, bytes] = {}
    for header in headers:
        name, value = header[0].lower(), header[1]
        if name in FIRST_COUNTS or name in SAME_COUNTS or name in _ONCE:
            if name in said:
                if name in _ONCE or (name in SAME_COUNTS and said[name] != value):
                    raise RequestInvalid(NO_REQUEST)
                continue
            said[name] = value
        kept.append(header)
    return kept


def _without_offer(headers: list[Header], *, closing: bool) -> list[Header]:
    """Remove an offer of another protocol, which is ignored (RFC 9110, 7.8).

    To a proxy, what follows the body of such a request may be a tunnel: so the connection closes there.
    """
    kept = [header for header in headers if header[0].lower() != b"upgrade"]
    if closing:
        kept = [header for header in kept if header[0].lower() != b"connection"]
        kept.append((b"Connection", b"close"))
    return kept


def _tidy(method: str, target: str) -> str:
    """Return the normalized target; raise RequestInvalid for one that is not of HTTP."""
    if method in {"OPTIONS", "CONNECT"} and target == "*":
        return target
    if not _TARGET.match(target):
        raise RequestInvalid(NO_REQUEST)
    if target.startswith("/") and not is_untidy(target):
        return target
    try:
        return str(tidy(_url(target)))
    except (ValueError, LookupError) as error:
        raise RequestInvalid(NO_REQUEST) from error


def _url(target: str) -> URL:
    """Return the URL of a target; raise ValueError or LookupError for an invalid one."""
    if not target.startswith("/"):
        url = URL(target, encoded=True)
        _ = url.explicit_port  # raises ValueError for an invalid one
        return url
    path, _, fragment = target.partition("#")
    path, _, query = path.partition("?")
    return URL.build(path=path, query_string=query, fragment=fragment, encoded=True)
