"""The processes of a service under gunicorn: the arbiter and its workers."""

import asyncio
import logging
import math
import os
import signal
import socket
import ssl
import sys
from contextlib import suppress
from types import FrameType
from typing import Any, Protocol

import structlog
from gunicorn.arbiter import Arbiter as GunicornArbiter
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.workers import base
from gunicorn.workers.base import Worker as BaseWorker

from pyregistry.api.transport.loop import SingleAcceptLoop
from pyregistry.api.transport.runner import Runner
from pyregistry.api.transport.watchdog import Heartbeat, Watchdog
from pyregistry.common.early import release_hangup
from pyregistry.common.overriding import override
from pyregistry.observe.multiprocess_metrics import End

SWITCH_SECONDS = 0.001
"""Seconds for which a computing thread may keep the interpreter from the event loop; Python's default is 5 ms."""
_TICK_SECONDS = 1.0
_STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})

log = structlog.get_logger("pyregistry.workers")

base.WorkerTmp = Heartbeat  # gunicorn makes one in its Worker's constructor, and has no setting for it


class Service(Protocol):
    """The application that gunicorn runs, as its workers see it."""

    def tls_context(self) -> ssl.SSLContext | None:
        """Return the context of new connections; None without TLS."""

    def drain_seconds(self) -> float:
        """Return the seconds that running requests may take at a shutdown."""


def hold_signals_across_fork() -> None:
    """Block the stop signals across a fork, so that a new worker does not lose one.

    Until init_signals it still has the arbiter's handlers. They put the signal into a queue that no worker reads.
    """
    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS),
    )


class Worker(BaseWorker):  # type: ignore[misc] # gunicorn has no types
    """One process, with its own event loop, thread pool and caches."""

    loop: asyncio.AbstractEventLoop
    end: End | None = None
    """Set by the arbiter when the process has ended."""
    _is_ending = False

    def init_process(self) -> None:
        """Set up the event loop, then let gunicorn call `run`."""
        sys.setswitchinterval(SWITCH_SECONDS)
        self.loop = SingleAcceptLoop(self.cfg.backlog)
        asyncio.set_event_loop(self.loop)
        self._stopping = asyncio.Event()
        super().init_process()

    def init_signals(self) -> None:
        """Handle signals on the event loop; those since the fork are delivered now."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self.loop.add_signal_handler(number, self.handle_exit, number, None)
        self.loop.add_signal_handler(signal.SIGABRT, self.handle_abort, signal.SIGABRT, None)  # it ends with status 1
        for number in (signal.SIGWINCH, signal.SIGUSR1):  # of a terminal's size, and to reopen log files
            self.loop.add_signal_handler(number, _ignore)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else the arbiter's handler, which would reap its workers here
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)

    def run(self) -> None:
        """Serve until a stop signal; does not return."""
        self.booted = False  # until it listens: a worker that cannot start stops the service
        try:
            self.loop.run_until_complete(self._serve())
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
        sys.exit(0)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at once rather than at the next tick of the heartbeat, a second later."""
        self.alive = False
        self._stopping.set()
        if not self._is_ending:  # the arbiter sends its signal again and again
            self._is_ending = True
            service: Service = self.app
            self._beat(service.drain_seconds())

    async def _serve(self) -> None:
        service: Service = self.app
        runner: Runner = await self.wsgi()
        await runner.setup()
        for listening in self.sockets:
            # Detached from gunicorn, so that no socket of this process listens once the runner has closed it.
            await runner.listen(socket.socket(fileno=listening.detach()), service.tls_context())
        self.booted = True
        while self.alive and self.ppid == os.getppid():
            self.notify()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _TICK_SECONDS)
        await runner.cleanup()

    def _beat(self, seconds: float) -> None:
        """Beat while the last requests end: aiohttp does not, and the watchdog kills after 30 s of silence."""
        self.notify()
        if seconds > 0:
            self.loop.call_later(1, self._beat, seconds - 1)


def _ignore() -> None:
    """Do nothing."""


class GunicornLog(Logger):  # type: ignore[misc] # gunicorn has no types
    """Writes gunicorn's lines to our log; those about each worker are debug lines."""

    def setup(self, cfg: Any) -> None:
        """Leave the handlers to configure_logging."""
        self.loglevel = logging.INFO
        self.error_log = logging.getLogger("pyregistry.processes")
        self.error_log.setLevel(logging.WARNING)
        self.access_log = logging.getLogger("pyregistry.processes")


class Arbiter(GunicornArbiter):  # type: ignore[misc] # gunicorn has no types
    """The process that owns the workers."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self._watchdog = Watchdog()

    def init_signals(self) -> None:
        """Set up gunicorn's handlers; a SIGHUP that was held until now is delivered."""
        super().init_signals()
        release_hangup()

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Return the signals, and log each except SIGCHLD and SIGWINCH."""
        numbers: list[int] = super().wait_for_signals(timeout)
        for number in numbers:
            if number not in {signal.SIGCHLD, signal.SIGWINCH}:
                log.info("signal received", signal=signal_name(number))
        return numbers

    def murder_workers(self) -> None:
        """Kill the workers that hang; gunicorn would also kill those that the system did not let run."""
        heartbeats = {pid: worker.tmp for pid, worker in self.WORKERS.items()}
        for pid, seconds in self._watchdog.hanging(heartbeats).items():
            log.error("a worker hangs and is replaced", worker=pid, seconds=round(seconds))
            self.kill_worker(pid, signal.SIGKILL)

    def reap_workers(self) -> None:
        """Reap ended workers; raise HaltServer for one that cannot start."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if pid == self.reexec_pid:
                    self.reexec_pid: int = 0
                elif (worker := self.WORKERS.pop(pid, None)) is not None:  # else an orphan, where we are process 1
                    self._reaped(worker, os.waitstatus_to_exitcode(status))

    def _reaped(self, worker: Worker, status: int) -> None:
        if status in {self.WORKER_BOOT_ERROR, self.APP_LOAD_ERROR}:
            raise HaltServer("a worker cannot start", status)
        if status > 0:
            log.error("a worker ended", worker=worker.pid, status=status)
        elif status < 0 and status != -signal.SIGTERM:
            log.error("a worker was killed", worker=worker.pid, signal=signal_name(-status))
        worker.tmp.close()
        worker.end = End.of_status(status)
        self.cfg.child_exit(self, worker)

    def stop(self, graceful: bool = True) -> None:
        """Wait for the workers to end, but not after a second signal."""
        seconds = math.ceil(self.app.drain_seconds())
        self.cfg.set("graceful_timeout", seconds)
        for sig in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sig, self._stop_now)
        if self.WORKERS:  # said once it is true: the reader of the line may send the second signal at once
            log.info("stopping: running requests may end, a second signal aborts them", seconds=seconds)
        super().stop(graceful)

    @override
    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        try:
            super().halt(reason, exit_status)
        finally:
            event = "stopped by a second signal: requests were aborted" if self._was_forced else "stopped"
            log.info(event, status=exit_status)

    _was_forced = False

    def _stop_now(self, sig: int, frame: FrameType | None) -> None:
        self._was_forced = True  # logged later: a handler may interrupt a line of the log
        self.kill_workers(signal.SIGKILL)


def signal_name(number: int) -> str:
    """Return the name of a signal, or its number: real-time signals have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
