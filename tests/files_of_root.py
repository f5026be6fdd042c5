"""A service without root's rights, and the process that opens root's files for it."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyregistry.common import opener
from tests.processes import require_root

SERVICE = 1234


class Place:
    """A volume of the service's, a directory that only root may enter, and the process that opens files."""

    def __init__(self, directory: Path) -> None:
        self.volume, self.private = directory / "data", directory / "private"
        self.volume.mkdir()
        os.chown(self.volume, SERVICE, SERVICE)
        self.private.mkdir(mode=0o700)
        self._ours: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *paths: Path) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [sys.executable, "-I", "-S", opener.__file__, str(theirs.fileno()), str(self.volume)]
        self._process = subprocess.Popen([*words, *map(str, paths)], pass_fds=[theirs.fileno()])
        theirs.close()
        os.environ[opener.OPENER_VARIABLE] = str(self._ours.fileno())

    def hang_up(self) -> int:
        """Close the server's end, and return the status with which the process ends."""
        assert self._ours is not None
        assert self._process is not None
        self._ours.close()
        return self._process.wait(30)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        os.environ.pop(opener.OPENER_VARIABLE, None)
        if self._process is not None:
            self.kill()
            self.hang_up()


@contextmanager
def as_service() -> Iterator[None]:
    """Be the service in this block, as far as the rights to files go."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(SERVICE)
    os.seteuid(SERVICE)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def secret(path: Path, content: str = "secret", mode: int = 0o600) -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


@pytest.fixture
def place() -> Iterator[Place]:
    require_root()
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        made = Place(Path(directory))
        try:
            yield made
        finally:
            made.stop()
