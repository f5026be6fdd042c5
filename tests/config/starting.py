"""`pyregistry serve` in a process of its own that has all modules already, so that eighty of them start in seconds."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests import forked
from tests.processes import wait_until

OWN = ("PATH", "PYTHONPATH", "HOME", "TMPDIR")
"""The variables that a start gets from the test's own environment."""


class Start:
    """One start of `pyregistry serve CONFIG`, in the directory of the config."""

    def __init__(self, config: Path, environ: Mapping[str, str]) -> None:
        self.log = config.with_suffix(".log")
        own = {name: os.environ[name] for name in OWN if name in os.environ}
        self._environ = {**own, **environ}
        self._config = config

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "pyregistry", "serve", str(self._config)]
        with self.log.open("ab") as log, Path(os.devnull).open() as nothing:
            streams = (nothing.fileno(), log.fileno(), log.fileno())
            self._process = forked.Process(command, streams, env=self._environ, cwd=self._config.parent)
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
        wait_until(lambda: self._process.poll() is not None or listens(), "it listens")
        assert self._process.poll() is None, f"it ended with {self._process.returncode}\n{self.output()}"

    def status(self) -> int | None:
        """Return the status with which it ends by itself."""
        return self._process.wait(30)

    def stop(self) -> int | None:
        """SIGTERM, and it must end; its status."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise AssertionError(f"it did not stop\n{self.output()}") from None
