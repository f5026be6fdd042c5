"""A command-line client: runs, shows its output when it fails, and never waits forever."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DEADLINE = 240  # seconds for one command; the slowest pushes 1 GiB


class Client:
    """A program with the options and the environment that every call of it needs."""

    def __init__(self, *command: str | Path, env: Mapping[str, str] | None = None) -> None:
        self.command = [str(word) for word in command]
        self.env = {**os.environ, **(env or {})}

    def run(self, *args: str | Path, input: bytes | None = None, check: bool = True, deadline: float = DEADLINE) -> str:
        """Return the command's stdout; a failure is an AssertionError that shows all of its output."""
        words = [*self.command, *map(str, args)]
        done = subprocess.run(
            words, input=input or b"", capture_output=True, env=self.env, timeout=deadline, check=False
        )
        output, errors = done.stdout.decode(), done.stderr.decode()
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(words)} ended with {done.returncode}\n{output}\n{errors}")
        return output

    def json(self, *args: str | Path) -> Any:
        """Return the command's output, parsed."""
        return json.loads(self.run(*args))

    def fails(self, *args: str | Path) -> str:
        """All that a command writes which has to fail."""
        words = [*self.command, *map(str, args)]
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.env,
            timeout=DEADLINE,
            check=False,
        )
        output = done.stdout.decode()
        assert done.returncode != 0, f"{' '.join(words)} succeeded\n{output}"
        return output

    def start(self, *args: str | Path) -> "subprocess.Popen[bytes]":
        """The command, running; use it as a context manager, which waits for its end."""
        return subprocess.Popen(
            [*self.command, *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self.env,
        )
