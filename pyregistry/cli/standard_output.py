"""Handles a standard output that cannot be written: closed, on a full disk, or without a reader.

A command then exits with one sentence and its own status; a command without output does not notice. One that only
shows something is silent if its reader closed the pipe, as in `ls | head`.
"""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pyregistry.cli.failure import CommandFailed

NOT_WRITTEN = 74
"""EX_IOERR of sysexits.h."""
_ACTS = frozenset({"fsck", "garbage-collect", "gc", "htpasswd", "rm"})
"""Commands that leave work undone when they end early."""
_REASONS = {errno.EBADF: "it is closed", errno.EPIPE: "its reader has closed it"}


class OutputFailed(CommandFailed):
    """Standard output could not be written."""


class _Checked(io.FileIO):
    """Standard output with its own error, as an OSError would seem to come from the data directory."""

    def __init__(self, *, acts: bool) -> None:
        super().__init__(1, "w", closefd=False)
        self._acts = acts
        self._failed = False

    def write(self, data: Any, /) -> int:
        """Write some of `data`, or discard it after a failure; raise OutputFailed."""
        if self._failed:  # the layers above retry their buffers at the end
            return len(memoryview(data).cast("B"))
        try:
            return super().write(data)
        except OSError as error:
            self._failed = True
            reason = _REASONS.get(error.errno or 0, error.strerror)
            failed = OutputFailed(f"cannot write to standard output: {reason}", NOT_WRITTEN)
            if error.errno == errno.EPIPE and not self._acts:
                failed.lines = ()
            raise failed from error


@contextmanager
def checked_output(command: str) -> Iterator[None]:
    """Run a command; raise OutputFailed if standard output cannot be written, also at its end.

    Closed descriptors are occupied first, as the next opened file would get their numbers. A server continues without
    standard output.
    """
    serves = command == "serve"
    _occupy(serves=serves)
    if serves:
        yield
        return
    before, sys.stdout = sys.stdout, _text_output(acts=command in _ACTS)
    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        finally:
            sys.stdout = before


def _occupy(*, serves: bool) -> None:
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # This is the lowest free number, so `open` takes it. Its reads or writes then fail with their own errors.
            os.open(os.devnull, os.O_RDONLY if number == 1 and not serves else os.O_RDWR)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - for the life of the process
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 - for the life of the process
    if serves:
        sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - for the life of the process


def _text_output(*, acts: bool) -> io.TextIOWrapper:
    raw = _Checked(acts=acts)
    with suppress(AttributeError, ValueError, OSError):
        sys.stdout.flush()
    encoding, errors = getattr(sys.stdout, "encoding", None), getattr(sys.stdout, "errors", None)
    is_unbuffered = getattr(sys.stdout, "write_through", False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, errors, line_buffering=raw.isatty() or is_unbuffered, write_through=False
    )
