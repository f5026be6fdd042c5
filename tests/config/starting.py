"""`pyregistry serve` in a process of its own that has all modules already, so that eighty of them start in seconds.

A process is forked that has imported the server and nothing else; each start is a fork of it, in which the command
line runs as it does in a shell: the config is read, gunicorn's arbiter listens, and a worker is forked.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.processes import wait_until

OWN = ("PATH", "PYTHONPATH", "HOME", "TMPDIR")
"""The variables that a start gets from the test's own environment."""


def context() -> ForkServerContext:
    """Return the context of the server that processes are forked from."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["pyregistry.cli", "pyregistry.service.server"])
    return found


class Start:
    """One start of `pyregistry serve CONFIG`, in the directory of the config."""

    def __init__(self, forks: ForkServerContext, config: Path, environ: Mapping[str, str]) -> None:
        self.log = config.with_suffix(".log")
        own = {name: os.environ[name] for name in OWN if name in os.environ}
        self._process: ForkServerProcess = forks.Process(target=_serve, args=(config, {**own, **environ}, self.log))

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def output(self) -> str:
        """All that it wrote, on both streams."""
        return self.log.read_text() if self.log.exists() else ""

    def wait_until_it(self, listens: Callable[[], bool]) -> None:
        """Until it listens; a failure shows what it said instead."""
        wait_until(lambda: self._process.exitcode is not None or listens(), "it listens")
        assert self._process.exitcode is None, f"it ended with {self._process.exitcode}\n{self.output()}"

    def status(self) -> int | None:
        """The status that it ends with by itself."""
        self._process.join(30)
        return self._process.exitcode

    def stop(self) -> int | None:
        """SIGTERM, and it must end; its status."""
        if self._process.is_alive():
            assert self._process.pid is not None
            os.kill(self._process.pid, signal.SIGTERM)
        self._process.join(20)
        if self._process.exitcode is None:
            self._process.kill()
            raise AssertionError(f"it did not stop\n{self.output()}")
        return self._process.exitcode


def _serve(config: Path, environ: Mapping[str, str], log: Path) -> None:
    os.chdir(config.parent)
    os.environ.clear()
    os.environ.update(environ)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(handle, stream)
    sys.argv = ["pyregistry", "serve", str(config)]
    from pyregistry.cli import main  # noqa: PLC0415 - in the new process

    main()
