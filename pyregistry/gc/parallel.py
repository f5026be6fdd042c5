"""Work that only reads, shared between processes, for a command that a person waits for.

They are forked: they have what this one has, and begin at once. Each does every n-th task and sends what it found, so
that the results arrive in order; who is ahead waits with a full pipe, so that what is held at once is bounded.
"""

import fcntl
import multiprocessing
import multiprocessing.popen_fork  # imported when first used, which is too late for who gave up root's rights
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from pyregistry.gc.types import MarkFailed

Task = TypeVar("Task")
Result = TypeVar("Result")

WORTH_SHARING = 10_000
"""Blobs that one process looks at while others are still being started."""

_PIPE = 1024 * 1024
"""Bytes by which a process may be ahead: a busy machine does not change between processes for each result."""

_Other = tuple[BaseProcess, Connection]


def is_worth_it(blobs: int, processes: int) -> bool:
    """Whether to share work on so many blobs."""
    return processes > 1 and blobs >= WORTH_SHARING


@contextmanager
def shared(work: Callable[[Task], Result], tasks: Sequence[Task], processes: int) -> Iterator[Iterator[Result]]:
    """What `work` returns for each task, in order; it may raise OSError. They have all ended behind the block.

    Several of `processes` only where this one has no other thread, which a fork would stop amid its work; by this one
    alone where it is 1, or no other can be started. Raises MarkFailed where one ends before its end.
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
    # Ctrl-C reaches all of us. The others never hear of it, as who began this ends them; and here it would be lost in
    # what Python does around a fork.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return [_start(work, share, end) for share in shares]
    except OSError:  # a limit of processes or of memory is no reason not to collect
        return ()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(work: Callable[[Task], object], tasks: Sequence[Task], end: ExitStack) -> _Other:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    with suppress(OSError):  # whose user has many such pipes gets small ones
        fcntl.fcntl(sender.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
    with sender:
        process = context.Process(target=_send, args=(work, tasks, receiver, sender), daemon=True)
        process.start()
    end.callback(process.join)
    end.callback(process.terminate)
    end.callback(receiver.close)
    return process, receiver


def _send(work: Callable[[Task], object], tasks: Sequence[Task], receiver: Connection, sender: Connection) -> None:
    receiver.close()  # so that a pipe whose reader was killed is broken, which ends this process too
    with suppress(BrokenPipeError):
        try:
            for task in tasks:
                sender.send(work(task))
        except BrokenPipeError:
            raise
        except OSError as error:
            sender.send(error)


def _receive(process: BaseProcess, receiver: Connection) -> Any:
    """What comes next from another process; raises its OSError, MarkFailed if it ended."""
    try:
        received = receiver.recv()
    except (EOFError, OSError) as error:
        process.join()
        raise MarkFailed(f"a process that read for this one ended before its end, with {process.exitcode}") from error
    if isinstance(received, OSError):
        raise received
    return received
