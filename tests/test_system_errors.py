"""A state of the system is one line of the log, a fault of ours a traceback."""

import errno
import logging
import os
from collections.abc import Iterator
from io import StringIO

import pytest
import structlog

from pyregistry.log import configure_logging
from pyregistry.loop import FairLoop
from pyregistry.system_errors import explained

STATES = [
    "ENOSPC",
    "EDQUOT",
    "EROFS",
    "EMFILE",
    "ENFILE",
    "EIO",
    "EACCES",
    "EPERM",
    "ESTALE",
    "ENOMEM",
    "ENOTDIR",
    "EXDEV",
]
FAULTS = ["EBADF", "EINVAL", "EFAULT", "ENOTSOCK"]


def error_of(name: str, file: str | None = None) -> OSError:
    number = getattr(errno, name)
    return OSError(number, os.strerror(number), file)


@pytest.mark.parametrize("name", STATES)
def test_a_state_of_the_system_has_its_name_and_the_file(name: str) -> None:
    error = error_of(name, "/data/a")
    assert explained(error) == {"error": name, "reason": error.strerror, "file": "/data/a"}
    assert "file" not in explained(error_of(name))


@pytest.mark.parametrize("error", [*map(error_of, FAULTS), OSError("no number"), ValueError("x"), None], ids=repr)
def test_all_else_has_its_traceback(error: Exception | None) -> None:
    assert explained(error) == {"exc_info": error}


@pytest.fixture
def log() -> Iterator[StringIO]:
    """What is logged; the root logger belongs to pytest."""
    root, stream = logging.getLogger(), StringIO()
    before, config = (root.handlers[:], root.level), structlog.get_config()
    configure_logging("info", "text", {}, stream=stream)
    yield stream
    root.handlers[:], root.level = before
    structlog.configure(**config)


@pytest.mark.parametrize(
    ("context", "lines"),
    [
        ({"message": "socket.accept() out of system resource", "exception": error_of("EMFILE")}, 1),
        ({"message": "Task was destroyed but it is pending!"}, 0),
    ],
)
def test_what_the_event_loop_meets_is_said_in_our_words(log: StringIO, context: dict[str, object], lines: int) -> None:
    loop = FairLoop()
    loop.call_exception_handler(context)
    loop.close()
    written = log.getvalue().splitlines()
    assert len(written) == lines
    assert "asyncio" not in log.getvalue()
    assert lines == 0 or "error=EMFILE" in written[0]


def test_a_fault_that_the_event_loop_meets_keeps_its_traceback(log: StringIO) -> None:
    loop = FairLoop()
    try:
        raise ValueError("x")
    except ValueError as error:
        loop.call_exception_handler({"message": "in a callback", "exception": error})
    loop.close()
    assert "Traceback" in log.getvalue()
