"""Long work that is to be felt by nobody."""

import os
import shutil
import subprocess
from contextlib import suppress


def step_back() -> None:
    """Let everybody else have the processor and, where `ionice` is installed, the disk first."""
    with suppress(OSError):
        os.nice(10)
    ionice = shutil.which("ionice")
    if ionice is not None:
        command = [ionice, "--class", "idle", "--ignore", "--pid", str(os.getpid())]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - our own words
