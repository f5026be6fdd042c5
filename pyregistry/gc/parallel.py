"""Read-only work that is shared between processes, for interactive commands.

They are forked: they share the memory of this one, and begin at once. Each does every n-th task and sends the results,
so that these arrive in order. A process that is ahead waits with a full pipe, which bounds the memory.
"""

import fcntl
import multiprocessing
import multiprocessing.popen_fork  # its first use would import it, which is too late after giving up root's rights
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from pyregistry.gc.types import MarkFailed

Task = TypeVar("Task")
Result = TypeVar("Result")

WORTH_FORKING_BLOBS = 10_000
"""Blobs that one process can read while others are being started."""

_PIPE_BYTES = 1024 * 1024
"""Bytes by which a process may be ahead, so that a busy machine need not switch processes for each result."""

_Other = tuple[BaseProcess, Connection]


def worth_forking(blobs: int, processes: int) -> bool:
    """Return True if work on so many blobs is worth sharing."""
    return processes > 1 and blobs >= WORTH_FORKING_BLOBS


@contextmanager
def parallel_map(work: Callable[[Task], Result], tasks: Sequence[Task], processes: int) -> Iterator[Iterator[Result]]:
    """Give the results of `work` for all tasks in order; it may raise OSError. All processes end with the block.

    More than one of `processes` needs a caller without other threads, whose work a fork would stop. This process works
    alone if `processes` is 1, or if no other can be started. Raises MarkFailed if one ends too early.
    """
    with ExitStack() as end:
        shares = [tasks[number::processes] for number in range(processes)] if processes > 1 else []
        yield _results(work, tasks, _start_all(work, shares, end))


def _results(work: Callable[[Task], Result], tasks: Sequence[Task], others: Sequence[_Other]) -> Iterator[Result]:
    for number, task in enumerate(tasks):
        if others:
            yield _receive(*others[number % len(others)])
        else:
            yield work(task)


def _start_all(work: Callable[[Task], object], shares: Sequence[Sequence[Task]], end: ExitStack) -> Sequence[_Other]:
    # Ctrl-C reaches all processes. The others ignore it, as this one ends them. In this one, a signal during the fork
    # would be lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return [_start(work, share, end) for share in shares]
    except OSError:  # a limit of processes or of memory must not prevent a collection
        return ()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(work: Callable[[Task], object], tasks: Sequence[Task], end: ExitStack) -> _Other:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    with suppress(OSError):  # a user with many such pipes gets small ones
        fcntl.fcntl(sender.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    with sender:
        process = context.Process(target=_send, args=(work, tasks, receiver, sender), daemon=True)
        process.start()
    end.callback(process.join)
    end.callback(process.terminate)
    end.callback(receiver.close)
    return process, receiver


def _send(work: Callable[[Task], object], tasks: Sequence[Task], receiver: Connection, sender: Connection) -> None:
    receiver.close()  # so that the pipe breaks if its reader is killed, which ends this process too
    with suppress(BrokenPipeError):
        try:
            for task in tasks:
                sender.send(work(task))
        except BrokenPipeError:
            raise
        except OSError as error:
            sender.send(error)


def _receive(process: BaseProcess, receiver: Connection) -> Any:
    """Return the next result of another process; raises its OSError, MarkFailed if it ended."""
    try:
        received = receiver.recv()
    except (EOFError, OSError) as error:
        process.join()
        raise MarkFailed(f"a helper process ended too early, with {process.exitcode}") from error
    if isinstance(received, OSError):
        raise received
    return received
