"""Finds workers whose event loop hangs, and not those that the system did not let run.

Each worker beats once a second. A silent one may be stopped (SIGSTOP, a debugger), wait for a disk, or get no processor
time. All may stop at once, as with `docker pause` or a sleeping laptop. All of these continue later without
a loss. So only the time counts that a silent worker could have used.
"""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

SILENCE_SECONDS = 30.0
"""Seconds of usable time after which a silent worker hangs."""
START_SECONDS = 120.0
"""The same for a worker that has not beaten yet: it starts, and may wait for files."""
_CHECK_SECONDS = 2.0
"""The most that one check counts: between two that are farther apart, the watchdog itself did not run."""
_TICKS = os.sysconf("SC_CLK_TCK")
_NOT_RUNNING = frozenset("TtDZX")
"""Stopped, traced, waiting for a disk, ended: see proc_pid_stat(5). A new worker would do no better."""


class Heartbeat:
    """Shared by a worker and the process that watches it; in memory, so that no directory is needed.

    It has the methods of gunicorn's own WorkerTmp, which is a temporary file.
    """

    def __init__(self, _: Any = None) -> None:
        self._handle = os.memfd_create("pyregistry-heartbeat")
        self._beats = 0

    def notify(self) -> None:
        """Beat: the event loop runs."""
        self._beats += 1
        os.pwrite(self._handle, self._beats.to_bytes(8, "little"), 0)

    def beats(self) -> int:
        """Return the number of beats so far; 0 while the worker starts."""
        return int.from_bytes(os.pread(self._handle, 8, 0), "little")

    def fileno(self) -> int:
        """Return the descriptor, which gunicorn closes on exec."""
        return self._handle

    def close(self) -> None:
        """Close it in this process."""
        os.close(self._handle)


class _Usage(NamedTuple):
    """Processor seconds so far of the main thread, which has the event loop, and of the whole process."""

    state: str
    main: float
    whole: float


@dataclass(slots=True)
class _Silence:
    beats: int
    seconds: float = 0.0
    usage: _Usage | None = None

    @property
    def hangs(self) -> bool:
        """True if it has lasted too long."""
        return self.seconds > (SILENCE_SECONDS if self.beats else START_SECONDS)


class Watchdog:
    """Judges workers at each call, which should come about once a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._checked_at = clock()
        self._known: dict[int, _Silence] = {}

    def hanging(self, workers: Mapping[int, Heartbeat]) -> dict[int, float]:
        """Return the pids of the workers that hang, each with the seconds of its silence."""
        now = self._clock()
        elapsed, self._checked_at = min(now - self._checked_at, _CHECK_SECONDS), now
        self._known = {pid: self._check(pid, heartbeat.beats(), elapsed) for pid, heartbeat in workers.items()}
        return {pid: known.seconds for pid, known in self._known.items() if known.hangs}

    def _check(self, pid: int, beats: int, elapsed: float) -> _Silence:
        known = self._known.get(pid)
        if known is None or beats != known.beats:
            return _Silence(beats)
        usage = _usage(pid)
        used = _used(pid, known.usage, usage, elapsed) if known.usage is not None and usage is not None else 0.0
        return _Silence(beats, known.seconds + used, usage)


def _used(pid: int, before: _Usage, now: _Usage, elapsed: float) -> float:
    """Return how many of the last `elapsed` seconds a silent process could have used."""
    if now.state in _NOT_RUNNING:
        return 0.0
    if now.state == "R":  # perhaps it only waits for a processor
        return min(now.main - before.main, elapsed)
    if _is_any_thread_runnable(pid):  # the main thread may wait for it, and it for a processor
        return min(now.whole - before.whole, elapsed)
    return elapsed  # it sleeps, and its timers do not wake it


def _usage(pid: int) -> _Usage | None:
    with suppress(OSError):  # it has just ended
        main, whole = _fields(Path(f"/proc/{pid}/task/{pid}/stat")), _fields(Path(f"/proc/{pid}/stat"))
        return _Usage(main[0], _seconds(main), _seconds(whole))
    return None


def _is_any_thread_runnable(pid: int) -> bool:
    with suppress(OSError):  # a thread has just ended
        return any(_fields(task / "stat")[0] == "R" for task in Path(f"/proc/{pid}/task").iterdir())
    return False


def _fields(path: Path) -> list[str]:
    """Return the fields after the program's name, which may have any characters; the first is the state."""
    return path.read_text().rpartition(")")[2].split()


def _seconds(fields: list[str]) -> float:
    return (int(fields[11]) + int(fields[12])) / _TICKS
