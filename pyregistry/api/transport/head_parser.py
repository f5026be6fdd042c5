"""aiohttp's parser for the fast path: it gets one head at a time, and refuses ambiguous ones."""

from typing import Any

from aiohttp import hdrs

from pyregistry.api.transport.heads import (
    END_OF_HEAD,
    END_OF_LINE,
    MAX_LINE_BYTES,
    MAX_SLASHES,
    NO_REQUEST,
    has_body,
    no_request,
    too_large,
    too_many_headers,
    without_repetitions,
)
from pyregistry.api.transport.internals import (
    EMPTY_PAYLOAD,
    HttpProcessingError,
    HttpRequestParser,
    HttpVersion10,
    HttpVersion11,
    LineTooLong,
    RawRequestMessage,
    StreamReader,
)
from pyregistry.oci.errors import RegistryError, RequestInvalid, VersionUnsupported

_feed = HttpRequestParser.feed_data


class HeadRefused(HttpProcessingError):
    """A head that is refused with `error`; nothing after it is read."""

    def __init__(self, error: RegistryError) -> None:
        super().__init__(code=error.status, message=str(error.detail))
        self.error = error


class HeadParser(HttpRequestParser):
    """aiohttp's parser, which refuses what a proxy may understand differently.

    It expects one head at a time, and no bytes of a body.
    """

    refusal: HeadRefused | None = None
    """If set, nothing more is parsed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the arguments of HttpRequestParser."""
        super().__init__(*args, **kwargs)
        self._arguments = args, kwargs
        self._begun = b""
        """The bytes of an incomplete head that it has parsed."""

    def feed_data(  # type: ignore[override] # the C parser has no more parameters than this
        self, data: bytes
    ) -> tuple[list[tuple[RawRequestMessage, StreamReader]], bool, bytes]:
        """Parse a head, or a part of one; raise HeadRefused. The connection never switches to another protocol."""
        if self.refusal is not None:
            raise self.refusal
        try:
            messages = self._parse(data)
            if len(messages) != 1:
                _require_no_head(messages, data)
            elif not _is_plain(*messages[0]):
                message, content = messages[0]
                messages = [(_judge(message, content is not EMPTY_PAYLOAD), content)]
                self.set_upgraded(False)
        except RegistryError as error:
            self.refusal = HeadRefused(error)
        except HttpProcessingError as error:
            self.refusal = HeadRefused(_reason(error, data))
        except LookupError:  # of yarl, for a target such as `p://[)]1@`
            self.refusal = HeadRefused(no_request(data))
        else:
            return messages, False, b""
        raise self.refusal

    def _parse(self, data: bytes) -> "list[tuple[RawRequestMessage, StreamReader]]":
        try:
            messages = _feed(self, data)[0]
        except HttpProcessingError:
            head = without_repetitions(self._begun + data)
            if head is None:
                raise
            args, kwargs = self._arguments
            super().__init__(*args, **kwargs)  # a parser that refused a head refuses all that follows
            messages = _feed(self, head)[0]
        if not messages:
            self._begun += data
        elif self._begun:
            self._begun = b""
        return messages


def _is_plain(message: RawRequestMessage, content: StreamReader) -> bool:
    """Return True for most requests: a short target, no body and no other protocol (CONNECT is one)."""
    headers = message.headers
    return (
        content is EMPTY_PAYLOAD
        and not message.upgrade
        and len(message.path) <= MAX_SLASHES
        and message.version is HttpVersion11
        and hdrs.CONTENT_LENGTH not in headers
        and hdrs.TRANSFER_ENCODING not in headers
    )


def _judge(message: RawRequestMessage, is_announced: bool) -> RawRequestMessage:
    """Return the head; raise the error for one whose body may end elsewhere for another reader."""
    headers, version = message.headers, message.version
    if version is not HttpVersion11 and version is not HttpVersion10:
        raise VersionUnsupported("HTTP/1.1 is expected") if version.major > 1 else RequestInvalid(NO_REQUEST)
    announced = has_body(
        message.method,
        message.path,
        is_http10=version is HttpVersion10,
        coding=headers.get(hdrs.TRANSFER_ENCODING),
        length=headers.get(hdrs.CONTENT_LENGTH),
    )
    if announced != is_announced:
        raise RequestInvalid(NO_REQUEST)
    # To a proxy, what follows the body of an upgrade may be a tunnel: then nothing more is read here.
    return message._replace(should_close=True) if announced and message.upgrade else message


def _require_no_head(messages: "list[tuple[RawRequestMessage, StreamReader]]", data: bytes) -> None:
    """Raise RequestInvalid where aiohttp's parser found the end of the head elsewhere than Heads did."""
    if messages or (data.endswith(END_OF_HEAD) and data.strip(END_OF_LINE)):
        raise no_request(data)


def _reason(error: HttpProcessingError, data: bytes) -> RegistryError:
    """Return the error for a head that aiohttp's parser refused."""
    if isinstance(error, LineTooLong):
        return too_large(data.find(END_OF_LINE) <= MAX_LINE_BYTES)
    return too_many_headers() if error.message == "Too many headers received" else no_request(data)
