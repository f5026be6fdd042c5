"""Processor time during a measurement: of the load, the registry and other programs."""

import contextlib
import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.processes import Server

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Spent:
    """Seconds, and seconds of processor time."""

    wall: float
    all: float
    load: float
    server: float
    bench: float

    def load_share(self, load: float | None = None) -> float:
        """Return the share of the load in its and the registry's time; `load` is the load's own figure."""
        mine = self.load if load is None else load
        return mine / (mine + self.server) if mine + self.server else 0

    @property
    def strangers(self) -> float:
        """Share of programs outside the bench in all processors."""
        others = self.all - self.load - self.server - self.bench
        return max(0.0, others / self.wall / (os.cpu_count() or 1))


class Window:
    """Measures its `with` block; the load is the awaited children of this process, and engines."""

    def __init__(self, server: Server, engines: Sequence[int] = ()) -> None:
        self._server = server
        self._engines = engines
        self.spent: Spent | None = None

    def __enter__(self) -> Self:
        self._begin = self._look()
        return self

    def __exit__(self, *_: object) -> None:
        self.spent = Spent(*(after - before for after, before in zip(self._look(), self._begin, strict=True)))

    def _look(self) -> tuple[float, float, float, float, float]:
        load = _spent(resource.RUSAGE_CHILDREN) + sum(work_of(pid) for pid in self._engines)
        server = 0.0
        with contextlib.suppress(AssertionError):  # it does not run yet
            server = work_of(self._server.pid)
        return time.monotonic(), _busy(), load, server, _spent(resource.RUSAGE_SELF)


def work_of(pid: int) -> float:
    """Return seconds of a process, its descendants, and their awaited children."""
    ticks = 0
    for process in processes_below(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / _TICK


def memory_of(pid: int) -> int:
    """Return bytes of a process and its descendants; their shared pages count once.

    The kernel divides a page by all processes that map it, including other programs. That is right for anonymous pages,
    but not for files: for those the largest value of one process is used.
    """
    own, files = 0, 0
    for process in processes_below(pid):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
        except (FileNotFoundError, ProcessLookupError):
            continue
        kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        own += kib["Pss_Anon"]
        files = max(files, kib["Rss"] - kib["Anonymous"])
    return (own + files) * 1024


def processes_below(pid: int) -> list[int]:
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(process for child in children for process in processes_below(child))]


def _spent(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def _busy() -> float:
    """Return seconds of user, nice, system, irq, softirq and steal, without idle and I/O wait."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICK
