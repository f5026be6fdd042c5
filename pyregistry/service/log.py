"""Logging: structlog for our own lines; the libraries' standard logging goes to the same handler."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog

from pyregistry.common.visible import LOGSTASH_FIELDS, visible

_LEVELS = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
# A logger keeps its configuration from its first use, so this list has only what no config changes. The rest is in the
# formatter, which a new config replaces for all loggers.
_OF_LOGGERS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
]


def configure_logging(
    level: str, formatter: str, fields: Mapping[str, object], *, stream: TextIO | None = None
) -> None:
    """Apply `log.level`, `log.formatter` and `log.fields`; log to standard error unless `stream` is given."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_OF_LOGGERS,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_handler(formatter, fields, stream)]
    root.setLevel(_LEVELS[level])
    # Its warnings are about sockets that a client closed; SingleAcceptLoop logs worse ones in our words.
    logging.getLogger("asyncio").setLevel(logging.ERROR)


def write_line(level: str, line: str, formatter: str, fields: Mapping[str, object]) -> None:
    """Write one line to standard error, ignoring the level and formatter of this process."""
    record = logging.LogRecord("pyregistry.config", _LEVELS[level], "", 0, line, None, None)
    _handler(formatter, fields, None).handle(record)


def _handler(formatter: str, fields: Mapping[str, object], stream: TextIO | None) -> logging.Handler:
    is_logstash = formatter == "logstash"
    more = {**LOGSTASH_FIELDS, **fields} if is_logstash else fields

    def add_fields(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {**more, **event}

    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_OF_LOGGERS,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="@timestamp" if is_logstash else "timestamp"),
                add_fields,
                *_renderers(formatter, (stream or sys.stderr).isatty()),
            ],
        )
    )
    return handler


def _renderers(formatter: str, is_terminal: bool) -> list[Any]:
    if formatter == "text":
        return [
            _make_visible,
            structlog.dev.ConsoleRenderer(
                colors=is_terminal,
                exception_formatter=structlog.dev.plain_traceback,  # the other one prints local variables: passwords
            ),
        ]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message" if formatter == "logstash" else "event"),
        structlog.processors.JSONRenderer(),
    ]


def _make_visible(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape text of clients that could end the line or control the terminal."""
    for key, value in event.items():
        # The renderer shows text with one of these characters by `repr`, which escapes too, but never the event.
        if isinstance(value, str) and (key == "event" or not set(value) & set(" \t=\r\n\"'")):
            event[key] = visible(value)
    return event
