"""Changing an htpasswd file: only the lines of one user, in one step, and never for a moment half of it."""

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pyregistry.auth.htpasswd_lines import HtpasswdEntry, parse_line
from pyregistry.storage.local.syscalls import sync_directory

NEW_MODE = 0o640
"""For the service's group to read; the hashes are nobody else's business."""


class Content:
    """The lines of an htpasswd file, kept byte for byte as they are, comments and other formats included."""

    def __init__(self, content: bytes) -> None:
        self._lines = content.splitlines(keepends=True)

    def __bytes__(self) -> bytes:
        return b"".join(self._lines)

    def users(self) -> list[bytes]:
        """In the order of the file."""
        return [user for user in map(_user, self._lines) if user is not None]

    def stored(self, user: bytes) -> bytes | None:
        """The hash of `user`, whatever its format; of several the last, as the registry takes it."""
        found = None
        for entry in map(_entry, self._lines):
            if entry is not None and entry.user == user:
                found = entry.stored
        return found

    def put(self, user: bytes, stored: bytes) -> None:
        """In the place of the user's line, and of any further one; else at the end."""
        ending = b"\r\n" if self._lines and self._lines[0].endswith(b"\r\n") else b"\n"
        line = user + b":" + stored + ending
        places = [number for number, line in enumerate(self._lines) if _user(line) == user]
        if places:
            self._lines[places[0]] = line
            for number in reversed(places[1:]):
                del self._lines[number]
            return
        if self._lines and not self._lines[-1].endswith((b"\n", b"\r")):
            self._lines[-1] += ending
        self._lines.append(line)

    def remove(self, user: bytes) -> None:
        """All lines of `user`."""
        self._lines = [line for line in self._lines if _user(line) != user]


def change(path: Path, edit: Callable[[bytes | None], bytes]) -> None:
    """Replace the file by what `edit` makes of its content (None: there is none). On disk on return.

    It keeps owner and mode; a link to it stays a link. Others that change it in this way wait. Raises OSError.
    """
    target = path.resolve()
    with _locked(target.parent):
        try:
            before = target.stat()
            content = edit(target.read_bytes())
        except FileNotFoundError:
            before = None
            content = edit(None)
        handle, beside = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                if before is not None:
                    os.fchown(handle, before.st_uid, before.st_gid)
                os.fchmod(handle, NEW_MODE if before is None else stat.S_IMODE(before.st_mode))
                os.fsync(handle)
            Path(beside).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(beside).unlink()
            raise


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the directory against others that change a file in it, and at the end sync its names."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
        sync_directory(str(directory))
    finally:
        os.close(handle)


def _entry(line: bytes) -> HtpasswdEntry | None:
    with contextlib.suppress(ValueError):
        return parse_line(line)
    return None


def _user(line: bytes) -> bytes | None:
    entry = _entry(line)
    return None if entry is None else entry.user
