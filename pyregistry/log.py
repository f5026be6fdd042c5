"""Logs: structlog for our own lines, with the standard logging of the libraries sent the same way."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog

from pyregistry.visible import visible

_LEVELS = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}


def configure_logging(
    level: str, formatter: str, fields: Mapping[str, object], *, stream: TextIO | None = None
) -> None:
    """`log.level`, `log.formatter` and `log.fields` of the config; to standard error unless `stream` is given."""
    at, say = ("@timestamp", "message") if formatter == "logstash" else ("timestamp", "event")

    def add_fields(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {**fields, **event}

    # A logger keeps what it was configured with when it was used first, so that only what no config changes is here;
    # the rest is the formatter's, which a new config replaces for all of them.
    of_loggers: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *of_loggers,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderers: list[Any] = (
        [
            _make_visible,
            structlog.dev.ConsoleRenderer(
                colors=(stream or sys.stderr).isatty(),
                exception_formatter=structlog.dev.plain_traceback,  # the other one prints local variables: passwords
            ),
        ]
        if formatter == "text"
        else [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer(say),
            structlog.processors.JSONRenderer(),
        ]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=of_loggers,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key=at),
                add_fields,
                *renderers,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    # Its warnings are about sockets that a client closed; what is worse FairLoop says in our words.
    logging.getLogger("asyncio").setLevel(logging.ERROR)


def _make_visible(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Let no text of a client end the line, or speak to the terminal."""
    for key, value in event.items():
        # Text with one of these the renderer shows with `repr`, which does the same; but never the event's own.
        if isinstance(value, str) and (key == "event" or not set(value) & set(" \t=\r\n\"'")):
            event[key] = visible(value)
    return event
