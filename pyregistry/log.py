"""Logs: structlog for our own lines, with the standard logging of the libraries sent the same way.

Our lines do not pass through the standard logging, which would cost more than the answer to a small request.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import msgspec
import structlog

_LEVELS = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
_PLAIN = re.compile(r"[!#-&(-<>-~]+", re.ASCII)
"""What stands without quotes behind `key=`."""


def configure_logging(
    level: str, formatter: str, fields: Mapping[str, object], *, access_log: bool, stream: TextIO | None = None
) -> None:
    """`log.level`, `log.formatter` and `log.fields` of the config; to standard error unless `stream` is given."""
    output = stream or sys.stderr

    def add_fields(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {**fields, **event}

    common: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([add_fields] if fields else []),
    ]
    render = _renderer(formatter, output)
    structlog.configure(
        processors=[*common, *render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda name="pyregistry": _Lines(name, output),
        cache_logger_on_first_use=False,  # or a logger that was used before a SIGHUP would keep the old config
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    logging.getLogger("pyregistry.access").disabled = not access_log
    logging.getLogger("asyncio").setLevel(logging.WARNING)


class _Lines(structlog.WriteLogger):
    """Whole lines, with the name of who writes them."""

    def __init__(self, name: str, output: TextIO) -> None:
        super().__init__(output)
        self.name = name


def _renderer(formatter: str, output: TextIO) -> list[Any]:
    if formatter != "text":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_to_json)]
    if output.isatty():
        # The other formatters of exceptions print local variables: passwords.
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, _to_text]


def _to_json(event: Mapping[str, object], default: Any) -> str:
    return msgspec.json.encode(event, enc_hook=default).decode()


def _to_text(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    """As structlog's own renderer writes, in a fifth of the time; nothing in a value can end a line or hide one."""
    exception = event.pop("exception", None)
    begin = f"{event.pop('timestamp')} [{event.pop('level'):<9}] {event.pop('event')!s:<30} [{event.pop('logger')}]"
    pairs = [
        f"{key}={value if isinstance(value, str) and _PLAIN.fullmatch(value) else repr(value)}"
        for key, value in sorted(event.items())
    ]
    line = " ".join((begin, *pairs))
    return line if exception is None else f"{line}\n{exception}"
