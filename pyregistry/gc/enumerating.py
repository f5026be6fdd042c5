"""The records of all blobs: the part of a run that looks at the most files.

A command that a person waits for shares it between processes, forked ones: they have what this one has, begin at once,
and only read. Each looks at every n-th directory and sends what it found, so that the records arrive, and are kept, in
order; who is ahead waits with a full pipe, and no process holds more than one directory.
"""

import multiprocessing
import multiprocessing.popen_fork  # imported when first used, which is too late for who gave up root's rights
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from pyregistry.gc.candidates import Candidates, Records
from pyregistry.gc.outcome import MarkFailed
from pyregistry.oci.digest import ALGORITHMS
from pyregistry.storage import layout
from pyregistry.storage.driver import Driver

WORTH_SHARING = 10_000
"""Blobs that one process looks at while others are still being started."""

_Directory = tuple[str, str]
"""The algorithm, and the first byte of the digests in hexadecimal."""
_Other = tuple[BaseProcess, Connection]


def enumerate_blobs(driver: Driver, processes: int = 1) -> Candidates:
    """All blobs with their records, of whatever age; raises MarkFailed.

    More than one of `processes` only where this process has no other thread, which a fork would stop amid its work.
    """
    candidates = Candidates()
    try:
        directories = list(_directories(driver))
        for number, directory in enumerate(directories):
            records = _read(driver, directory)
            candidates.extend(records)
            left = directories[number + 1 :]
            if processes > 1 and len(records) * len(left) >= WORTH_SHARING:
                _share(driver, left, processes, candidates)
                break
    except OSError as error:
        raise MarkFailed(f"{error.filename}: {error.strerror}") from error
    return candidates


def _directories(driver: Driver) -> Iterator[_Directory]:
    for algorithm in driver.children(layout.BLOBS):
        if algorithm in ALGORITHMS:
            for prefix in driver.children(layout.child(layout.BLOBS, algorithm)):
                yield algorithm, prefix


def _read(driver: Driver, directory: _Directory) -> Records:
    algorithm, prefix = directory
    records = Records(algorithm, prefix)
    path = layout.child(layout.child(layout.BLOBS, algorithm), prefix)
    for encoded, stat in driver.scan(path, layout.DATA):
        if stat is not None and stat.is_file:
            records.add(encoded, stat)
    return records


def _share(driver: Driver, directories: Sequence[_Directory], processes: int, candidates: Candidates) -> None:
    """Let `processes` others read the directories."""
    with ExitStack() as end:
        others = _start_all(driver, [directories[number::processes] for number in range(processes)], end)
        for number, directory in enumerate(directories):
            records = _receive(*others[number % processes]) if others else _read(driver, directory)
            candidates.extend(records)


def _start_all(driver: Driver, shares: Sequence[Sequence[_Directory]], end: ExitStack) -> Sequence[_Other]:
    # Ctrl-C reaches all of us. The others never hear of it, as who began this ends them; and here it would be lost in
    # what Python does around a fork.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return [_start(driver, share, end) for share in shares]
    except OSError:  # a limit of processes or of memory is no reason not to collect
        return ()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(driver: Driver, directories: Sequence[_Directory], end: ExitStack) -> _Other:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    with sender:
        process = context.Process(target=_send, args=(driver, directories, receiver, sender), daemon=True)
        process.start()
    end.callback(process.join)
    end.callback(process.terminate)
    end.callback(receiver.close)
    return process, receiver


def _send(driver: Driver, directories: Sequence[_Directory], receiver: Connection, sender: Connection) -> None:
    receiver.close()  # so that a pipe whose reader was killed is broken, which ends this process too
    with suppress(BrokenPipeError):
        try:
            for directory in directories:
                sender.send(_read(driver, directory))
        except BrokenPipeError:
            raise
        except OSError as error:
            sender.send(error)


def _receive(process: BaseProcess, receiver: Connection) -> Records:
    """What comes next from another process; raises its OSError, MarkFailed if it ended."""
    try:
        received = receiver.recv()
    except (EOFError, OSError) as error:
        process.join()
        raise MarkFailed(f"a process that looked at the blobs ended before its end, with {process.exitcode}") from error
    if isinstance(received, OSError):
        raise received
    assert isinstance(received, Records)
    return received
