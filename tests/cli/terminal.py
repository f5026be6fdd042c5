"""A command at a terminal of a given width."""

import os
import pty
import re
import sys
from pathlib import Path

from tests import forked

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def run_at_terminal(*words: str | Path, columns: int = 100) -> tuple[int, list[str]]:
    """Return the status and the lines, without colours and without spaces at their ends."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pyregistry", *map(str, words)]
    env = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "NO_COLOR": "1"}
    process = forked.Process(command, (theirs, theirs, theirs), env=env)
    os.close(theirs)
    output = b""
    while True:
        try:
            output += os.read(ours, 65_536)
        except OSError:  # the other side is closed
            break
    status = process.wait(60)
    os.close(ours)
    return status, [line.rstrip() for line in _ESCAPES.sub("", output.decode()).replace("\r\n", "\n").split("\n")]
