"""`pyregistry without-gc`: runs a command, such as a backup, while garbage collection waits."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from pyregistry.cli.config_file import ConfigOption, load_or_fail
from pyregistry.cli.data_directory import content_of, location_or_fail, unusable_directory
from pyregistry.cli.output import say
from pyregistry.gc.collector import no_collection
from pyregistry.gc.types import CollectorBusy

NOT_EXECUTABLE = 126
NOT_FOUND = 127
SIGNALLED = 128


def without_gc(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="The command, after -- with its options.")],
    config: ConfigOption = None,
) -> None:
    """Run a command without garbage collection: pyregistry without-gc -c config.yml -- sh backup.sh.

    It waits for a running collection. One that starts meanwhile exits with 75, and the server retries its own a minute
    later. Pushes, pulls and deletions continue.

    Exit status: that of the command; 128 and the signal's number if a signal ended it; 127 the command was not found;
    126 it cannot be run; 2 the config or data directory is unusable.
    """
    location = location_or_fail(load_or_fail(config)[1])
    with ExitStack() as stack:
        # The inner one reports the owner as the user without permission.
        with unusable_directory(), _as_owner(location.directory), unusable_directory():
            coordinator = location.open().coordinator
            try:
                stack.enter_context(no_collection(coordinator, wait=False))
            except CollectorBusy:
                say("pyregistry: waiting for the garbage collection that runs", err=True)
                stack.enter_context(no_collection(coordinator, wait=True))
        status = _run(command)
    sys.exit(status if status >= 0 else SIGNALLED - status)


@contextmanager
def _as_owner(root: Path | None) -> Iterator[None]:
    """Switch to the data directory's owner for a while, so that the server can use the lock file."""
    user, group = os.geteuid(), os.getegid()
    owner = content_of(root).stat() if root is not None else None
    if owner is None or user != 0:
        yield
        return
    with suppress(PermissionError):  # root without capabilities, like the server: docker's --cap-drop ALL
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)


def _run(command: list[str]) -> int:
    """Run the command; return its status, negative for a signal."""
    terminations = _Terminations()
    try:
        # The command inherits the lock's descriptor: if this process is killed, the command keeps the lock.
        process = subprocess.Popen(command, pass_fds=_lock_descriptors())  # noqa: S603 - the operator's command
    except FileNotFoundError:
        say(f"pyregistry: {command[0]}: command not found", err=True)
        return NOT_FOUND
    except OSError as error:
        say(f"pyregistry: {command[0]}: {error.strerror}", err=True)
        return NOT_EXECUTABLE
    terminations.forward_to(process)
    return process.wait()


class _Terminations:
    """Forwards SIGTERM to the command, also one that comes before the command runs.

    A terminal sends SIGINT to the command as well. Both signals have a handler: a child starts with the default action
    of a handled signal, but would inherit an ignored one.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._came = False
        signal.signal(signal.SIGINT, lambda number, frame: None)
        signal.signal(signal.SIGTERM, self._handle)

    def forward_to(self, process: subprocess.Popen[bytes]) -> None:
        """Send the command a signal that already came, and later ones."""
        self._process = process
        if self._came:
            process.terminate()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._came = True
        if self._process is not None:
            self._process.terminate()


def _lock_descriptors() -> list[int]:
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not paths
        try:
            target = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115 - it need not be a path
        except FileNotFoundError:  # the descriptor of the list itself
            continue
        if target.endswith("/locks/gc"):
            found.append(int(name))
    return found
