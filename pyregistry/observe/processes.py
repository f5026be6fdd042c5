"""Processor time, memory and files of the service's processes, the master and its workers, from /proc.

The names and units are those that Prometheus's own client libraries use (`process_*`), as in the CNCF registry. A
scrape reads some five small files for each process.
"""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pyregistry.observe.figures import Figure, single

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_UNLIMITED_BYTES = float(2**64 - 1)
"""Shown by Go's client for an address space without a limit."""
_TRIES = 5
"""Readings of all times, until no worker ends during one."""
_PARENT, _CPU, _THREADS, _START, _VIRTUAL, _RESIDENT = 1, slice(11, 15), 17, 19, 20, 21
"""Fields of /proc/PID/stat after the name, see proc(5)."""

_LABEL = ("process",)


@dataclass(frozen=True, slots=True)
class Process:
    """One process at one moment. Sizes in bytes, times in seconds."""

    pid: int
    started_at: float
    """Since the epoch."""
    virtual_bytes: int
    resident_bytes: int
    """Its share: shared pages are divided among their processes, where the system has that number."""
    threads: int
    open_fds: int


def service_processes(master: int) -> list[Process]:
    """Return the master and its workers, the oldest first; raise OSError if the master cannot be read."""
    workers = []
    program = _program(master)
    for pid in _children(master):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
            if _program(pid) == program:  # as process 1 the master also has orphans
                workers.append(_read(pid))
    return [_read(master), *sorted(workers, key=lambda each: (each.started_at, each.pid))]


def cpu_seconds(master: int) -> float:
    """Return the seconds of the master and all its children, also ended ones; they never decrease.

    Raises OSError.
    """
    ticks = 0
    for _ in range(_TRIES):
        before, children = _ticks(master), _children(master)
        ticks = sum(before)
        for pid in children:  # also ended ones, until the master has reaped them: then its own times have them
            with suppress(FileNotFoundError, ProcessLookupError):
                ticks += sum(_ticks(pid))
        if (_children(master), _ticks(master)[2:]) == (children, before[2:]):
            break
    return ticks / _TICKS_PER_SECOND


def process_figures(master: int) -> Iterator[Figure]:
    """Yield the families of the service as a whole, and of each of its processes. Raises OSError."""
    found = service_processes(master)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    all_of_it = "of the master and all workers"
    yield single(
        "process_cpu_seconds_total",
        f"Total user and system CPU time in seconds, {all_of_it}, also of those that have ended.",
        cpu_seconds(master),
    )
    yield single(
        "process_resident_memory_bytes",
        f"Resident memory size in bytes {all_of_it}; shared pages count once.",
        sum(each.resident_bytes for each in found),
    )
    yield single(
        "process_virtual_memory_bytes",
        f"Virtual memory size in bytes {all_of_it}.",
        sum(each.virtual_bytes for each in found),
    )
    yield single(
        "process_virtual_memory_max_bytes",
        "Maximum amount of virtual memory in bytes that one process may have.",
        _UNLIMITED_BYTES if space == resource.RLIM_INFINITY else space,
    )
    yield single(
        "process_open_fds",
        "Number of open file descriptors of the process that has most of them; the limit is for each.",
        max(each.open_fds for each in found),
    )
    yield single("process_max_fds", "Maximum number of open file descriptors of each process.", soft)
    yield single(
        "process_start_time_seconds", "Start time of the master since the epoch in seconds.", found[0].started_at
    )
    yield single("pyregistry_workers", "Workers that run.", len(found) - 1)
    yield from _of_each(found)


def network_figures() -> Iterator[Figure]:
    """Yield the bytes of the network namespace; each container has its own. Raises OSError."""
    lines = [line.split() for line in Path("/proc/self/net/netstat").read_text().splitlines()]
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if names[0] == "IpExt:":
            counts = dict(zip(names, values, strict=False))
            for name, text, field in (
                ("receive", "received", "InOctets"),
                ("transmit", "sent", "OutOctets"),
            ):
                yield single(
                    f"process_network_{name}_bytes_total",
                    f"Number of bytes {text} over the network by all processes of the network namespace.",
                    float(counts[field]),
                )


def _of_each(found: list[Process]) -> Iterator[Figure]:
    names = ["master", *(str(number) for number in range(1, len(found)))]
    for name, text, values in (
        ("resident_memory_bytes", "Resident memory size in bytes", [each.resident_bytes for each in found]),
        ("open_fds", "Number of open file descriptors", [each.open_fds for each in found]),
        ("threads", "Number of threads", [each.threads for each in found]),
    ):
        text_of_all = f"{text} of the master and of each worker, by number, the oldest first."
        by_process = dict[tuple[str, ...], float](zip(((each,) for each in names), values, strict=True))
        yield Figure(f"pyregistry_process_{name}", text_of_all, by_process, _LABEL)


def _read(pid: int) -> Process:
    fields = _fields(pid)
    return Process(
        pid,
        _booted_at() + int(fields[_START]) / _TICKS_PER_SECOND,
        int(fields[_VIRTUAL]),
        _proportional_bytes(pid) or int(fields[_RESIDENT]) * _PAGE_BYTES,
        int(fields[_THREADS]),
        _count_open(pid),
    )


def _fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _ticks(pid: int) -> list[int]:
    """Return its user and system time, and those of its ended children."""
    return [int(field) for field in _fields(pid)[_CPU]]


def _children(pid: int) -> list[int]:
    lists = list(Path(f"/proc/{pid}/task").glob("*/children"))
    if not lists:  # not every kernel, or emulation of one, has them
        return sorted(_children_by_parent(pid))
    return sorted(int(child) for path in lists for child in path.read_text().split())


def _children_by_parent(parent: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[_PARENT]) == parent:
                yield int(path.parent.name)


def _program(pid: int) -> str | None:
    with suppress(OSError):
        return str(Path(f"/proc/{pid}/exe").readlink())
    return None


def _proportional_bytes(pid: int) -> int | None:
    with suppress(PermissionError, FileNotFoundError):  # not every kernel has it, or lets us read it
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return None


def _count_open(pid: int) -> int:
    with suppress(PermissionError):
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return 0


@cache
def _booted_at() -> int:
    """Return when the system started, in seconds since the epoch."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return int(line.split()[1])
    return 0
