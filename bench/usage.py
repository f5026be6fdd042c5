"""Who took the processors while something was measured: the load, the registry, or programs of somebody else."""

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
class Shares:
    """Parts of all processors, between 0 and 1."""

    load: float
    strangers: float


class Window:
    """From `with` to its end; the load is the children that this process has waited for, and an engine."""

    def __init__(self, server: Server, engines: Sequence[int] = ()) -> None:
        self._server = server
        self._engines = engines
        self.shares: Shares | None = None

    def __enter__(self) -> Self:
        self._begin = self._look()
        return self

    def __exit__(self, *_: object) -> None:
        wall, busy, load, own = (after - before for after, before in zip(self._look(), self._begin, strict=True))
        all_of_it = wall * (os.cpu_count() or 1)
        self.shares = Shares(load / all_of_it, max(0.0, (busy - load - own) / all_of_it))

    def _look(self) -> tuple[float, float, float, float]:
        """Now, and seconds of processor time since ever: of all, of the load, of the registry and of the bench."""
        load = _spent(resource.RUSAGE_CHILDREN) + sum(work_of(pid) for pid in self._engines)
        own = _spent(resource.RUSAGE_SELF)
        with contextlib.suppress(AssertionError):  # it does not run yet
            own += work_of(self._server.pid)
        return time.monotonic(), _busy(), load, own


def work_of(pid: int) -> float:
    """Seconds of a process, those below it, and those that these have waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        below = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(map(int, fields[11:15])) / _TICK + sum(map(work_of, below))


def memory_of(pid: int) -> int:
    """Bytes of a process and those below it; what they share counts once."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return total + sum(memory_of(int(child)) for child in children)


def _spent(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def _busy() -> float:
    """user, nice, system, irq, softirq and what the host took away; neither idle nor waiting for a disk."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICK
