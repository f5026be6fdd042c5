"""Coverage of forks, without a new start of the measurement and a data file for each of 10,000 programs.

A fork keeps the tracer of the process that it was forked from, which here is its owner. At its end it appends what the
owner has not reached, as a line, to a file. The owner reads this file before its next fork and at its own end, so later
forks have less to append. The owner alone saves data as `coverage` does.
"""

import atexit
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from coverage import Coverage

Arcs = dict[str, set[int]]
"""Pairs of lines that followed one another, each packed into a number by the tracer, by the name of the file."""


class Forks:
    """The forks of this process, and in a fork: this process, as they are measured."""

    def __init__(self, measured: "Coverage") -> None:
        collector = measured._collector  # private, as is all that a fork could continue with
        assert collector is not None, "the measurement runs"
        assert collector.tracer_name() == "CTracer", "the tracer written in Python takes ten times as long"
        # A lock that the detector of blocking calls does not know: it would refuse the tracer's lock on an event loop.
        collector.data_lock = threading.RLock()
        self._measured = measured
        self._reached: Arcs = collector.data  # type: ignore[assignment] # of which CTracer uses one kind
        self._of_owner: Arcs | None = None
        directory = Path(str(measured.get_option("run:data_file"))).absolute().parent
        self._file = directory / f"forks.{os.getpid()}"  # a name that `coverage combine` does not take for data
        self._offset = 0
        self._file.touch()
        self._file.chmod(0o666)  # programs that gave up root's rights append too
        self._exit = os._exit
        os.register_at_fork(before=self.collect, after_in_child=self._begin)
        atexit.register(self.collect)  # before the owner saves, which was registered earlier

    def collect(self) -> None:
        """Add what ended forks reached to this process, unless it is a fork itself."""
        if self._of_owner is not None:
            return
        with self._file.open("rb") as file:
            file.seek(self._offset)
            content = file.read()
        complete = content[: content.rfind(b"\n") + 1]
        self._offset += len(complete)
        for line in filter(None, complete.split(b"\n")):
            with contextlib.suppress(ValueError):  # the process was killed while it wrote
                for name, arcs in json.loads(line).items():
                    self._reached.setdefault(name, set()).update(arcs)

    def _begin(self) -> None:
        if self._of_owner is not None:  # a fork's fork, such as a worker: one of both may be killed
            return
        self._of_owner = _copy(self._reached)
        atexit.unregister(self._measured._atexit)
        atexit.register(self._append)
        os._exit = self._append_and_exit
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # by which collectors end
            signal.signal(signal.SIGTERM, self._append_and_terminate)

    def _append(self) -> None:
        assert self._of_owner is not None
        reached = _copy(self._reached)
        new = {name: sorted(arcs - self._of_owner.get(name, set())) for name, arcs in reached.items()}
        self._of_owner = reached
        if not any(new.values()):
            return
        # The first line break ends what a killed process wrote. One call, so that lines of others come before or after.
        line = b"\n" + json.dumps({name: arcs for name, arcs in new.items() if arcs}).encode() + b"\n"
        with contextlib.suppress(OSError):  # of a test that limits the size of files, or that has another root
            file = os.open(self._file, os.O_WRONLY | os.O_APPEND)
            os.write(file, line)
            os.close(file)

    def _append_and_exit(self, status: int) -> NoReturn:
        self._append()
        self._exit(status)

    def _append_and_terminate(self, number: int, frame: FrameType | None) -> None:
        self._append()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _copy(arcs: Mapping[str, set[int]]) -> Arcs:
    """Copy in calls that no thread can interrupt."""
    return {name: set(each) for name, each in list(arcs.items())}


_forks: list[Forks] = []
"""One, in a measured process."""


def measure() -> None:
    """Measure the forks of this process from here on, if it is measured itself."""
    if "coverage" in sys.modules and not _forks:
        from coverage import Coverage  # noqa: PLC0415 - takes 0.1 s, which only `make coverage` pays

        if (measured := Coverage.current()) is not None:
            _forks.append(Forks(measured))


def unmeasured() -> dict[str, str]:
    """Return an environment for a new Python whose system calls are compared: the measurement makes some too."""
    return {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}


def collect() -> None:
    """Collect what the forks of this process reached, if they are measured."""
    for each in _forks:
        each.collect()
