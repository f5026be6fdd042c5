"""Files into which the processes of a service count, and the merge of those of an ended process.

Each process has a file for each kind of metric, mapped into its memory. A scrape adds up all files.
"""

import fcntl
import os
import signal
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from pyregistry.common.lazy import lazy

if TYPE_CHECKING:
    from prometheus_client import mmap_dict, multiprocess
else:
    mmap_dict = lazy("prometheus_client.mmap_dict")
    multiprocess = lazy("prometheus_client.multiprocess")

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Names the directory. The library reads it once, at its import: nothing may import it before that is set."""

_TRIES, _PAUSE_SECONDS = 20, 0.01

ENDS = "pyregistry_worker_ends"
ENDS_TEXT = "Workers that ended: stopped by a signal of the service, failed with a status, or killed by a signal."


class End(StrEnum):
    """Ways in which a worker ends."""

    STOPPED = "stopped"
    FAILED = "failed"
    KILLED = "killed"

    @classmethod
    def of_status(cls, status: int) -> "End":
        """Return the end of an exit code; a negative one is a signal, and SIGTERM stops a worker."""
        if status in {0, -signal.SIGTERM}:
            return cls.STOPPED
        return cls.FAILED if status > 0 else cls.KILLED


log = structlog.get_logger("pyregistry.metrics")


@contextmanager
def reading(directory: Path) -> Iterator[None]:
    """Prevent merges until the block ends: they would count twice. Blocks."""
    handle = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def merge_dead_worker(pid: int, directory: Path, end: End | None = None) -> None:
    """Merge the counts of an ended process into those of all ended ones, and drop its live gauges.

    Otherwise each replaced worker would leave more files to add up. `end` is counted as well. Raises OSError.
    """
    multiprocess.mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call] # has none
    handle = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _locked(handle):  # else a reader hangs, and the arbiter cannot wait: the files stay, and are added up
            for kind in ("counter", "histogram"):
                _merge(directory / f"{kind}_{pid}.db", directory / f"{kind}_ended.db")
            if end is not None:
                _count_end(directory / "counter_ended.db", end)
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    for _ in range(_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE_SECONDS)
        else:
            return True
    return False


def _count_end(target: Path, end: End) -> None:
    key = mmap_dict.mmap_key(ENDS, f"{ENDS}_total", ["reason"], [end], ENDS_TEXT)
    ended = mmap_dict.MmapedDict(str(target))  # type: ignore[no-untyped-call] # has none
    before, _ = ended.read_value(key)  # type: ignore[no-untyped-call] # has none
    ended.write_value(key, before + 1.0, 0.0)  # type: ignore[no-untyped-call] # has none
    ended.close()  # type: ignore[no-untyped-call] # has none


def _merge(source: Path, target: Path) -> None:
    if not source.exists():
        return
    try:
        counted = list(mmap_dict.MmapedDict.read_all_values_from_file(str(source)))  # type: ignore[no-untyped-call] # has none
    except (RuntimeError, ValueError, struct.error) as error:
        # It was killed during a write, and the file would break every reading.
        log.warning("the counts of a worker are lost", file=source.name, reason=str(error))
    else:
        ended = mmap_dict.MmapedDict(str(target))  # type: ignore[no-untyped-call] # has none
        for key, value, timestamp, _ in counted:
            before, _ = ended.read_value(key)  # type: ignore[no-untyped-call] # has none
            ended.write_value(key, before + value, timestamp)  # type: ignore[no-untyped-call] # has none
        ended.close()  # type: ignore[no-untyped-call] # has none
    source.unlink()
