"""Lowers CPU and I/O priority for long work."""

import os
import shutil
import subprocess
from contextlib import suppress


def lower_priority() -> None:
    """Let other processes use the processor and, if `ionice` is installed, the disk first."""
    with suppress(OSError):
        os.nice(10)
    ionice = shutil.which("ionice")
    if ionice is not None:
        command = [ionice, "--class", "idle", "--ignore", "--pid", str(os.getpid())]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - our own words
