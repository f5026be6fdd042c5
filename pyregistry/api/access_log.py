"""One line per request: never a query string, a credential or another header.

Combined Log Format as the CNCF registry writes it, or JSON. Every text that a client chose is cut and escaped, so that
nobody can forge a line or break one in two; a line stays below 4096 bytes, which a pipe takes in one piece.
"""

import logging
import re
import time as clock
from datetime import UTC, datetime

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from pyregistry.api.context import PRINCIPAL
from pyregistry.api.request_id import request_id
from pyregistry.auth.access import Principal

LOGGER = "pyregistry.access"

_PATH_ROOM, _TEXT_ROOM = 1024, 200
"""The most characters of a path, and of any other text, that a line shows."""
_SAFE = re.compile(r"[ !#-\[\]-~]*")
_SAFE_WORD = re.compile(r"[!#-\[\]-~]*")


class AccessLogger(AbstractAccessLogger):
    """Called by aiohttp when the answer is out, so that bytes and time are what really happened.

    In Combined Log Format. Its second field, which servers leave empty, is the request's id, so that what reads such
    logs need not learn another format. The field for the referrer stays empty: no client of a registry sends one, and
    a browser's could hold a secret.
    """

    @property
    def enabled(self) -> bool:
        """Whether anything is to be written: `log.accesslog.disabled`."""
        return logging.getLogger(LOGGER).isEnabledFor(logging.INFO)

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """`time` is in seconds."""
        # A record made by hand: `info()` would look for the place in the code that called it, at half of the cost.
        record = logging.LogRecord(LOGGER, logging.INFO, "", 0, self._line(request, response, time), None, None)
        logging.getLogger(LOGGER).handle(record)

    def _line(self, request: web.BaseRequest, response: web.StreamResponse, seconds: float) -> str:
        user = _escaped(_user(request), _TEXT_ROOM, _SAFE_WORD) or "-"
        begun = clock.strftime("%d/%b/%Y:%H:%M:%S +0000", clock.gmtime(clock.time() - seconds))
        path = _escaped(request.rel_url.raw_path, _PATH_ROOM, _SAFE_WORD)
        agent = _escaped(request.headers.get("User-Agent", ""), _TEXT_ROOM, _SAFE)
        return (
            f"{request.remote or '-'} {request_id(request)} {user} [{begun}] "
            f'"{request.method} {path} {_protocol(request)}" {response.status} {_bytes_sent(response)} "-" "{agent}"'
        )


class JsonAccessLogger(AccessLogger):
    """The same and more as JSON, for `log.formatter` json and logstash."""

    def _line(self, request: web.BaseRequest, response: web.StreamResponse, seconds: float) -> str:
        entry = {
            "timestamp": datetime.now(UTC).isoformat(timespec="microseconds"),
            "logger": LOGGER,
            "request_id": request_id(request),
            "remote": request.remote,
            "user": _text(_user(request), _TEXT_ROOM) or None,
            "method": request.method,
            "path": _text(request.rel_url.raw_path, _PATH_ROOM),
            "protocol": _protocol(request),
            "repository": _text(_repository(request), _TEXT_ROOM) or None,
            "status": response.status,
            "bytes": _bytes_sent(response),
            "seconds": round(seconds, 6),
            "agent": _text(request.headers.get("User-Agent", ""), _TEXT_ROOM),
        }
        return msgspec.json.encode(entry).decode()


def _user(request: web.BaseRequest) -> str:
    return request.get(PRINCIPAL, Principal()).name or ""


def _repository(request: web.BaseRequest) -> str:
    return request.match_info.get("name", "") if isinstance(request, web.Request) else ""


def _bytes_sent(response: web.StreamResponse) -> int:
    return min(response.content_length or 0, response.body_length)  # the second counts headers, too


def _protocol(request: web.BaseRequest) -> str:
    return f"HTTP/{request.version.major}.{request.version.minor}"


def _text(text: str, room: int) -> str:
    """Without what ends a line for somebody, speaks to a terminal or is no text at all, which is shown escaped."""
    cut = text[:room]
    return cut if cut.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in cut)


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
