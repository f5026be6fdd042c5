"""Changes an htpasswd file: only the lines of one user, atomically."""

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pyregistry.auth.htpasswd_lines import HtpasswdEntry, parse_line
from pyregistry.common.files import sync_directory

NEW_MODE = 0o640
"""Readable for the service's group, but not for others."""


class HtpasswdContent:
    """The lines of an htpasswd file; all others, also comments and other formats, are kept byte for byte."""

    def __init__(self, content: bytes) -> None:
        self._lines = content.splitlines(keepends=True)

    def __bytes__(self) -> bytes:
        return b"".join(self._lines)

    def users(self) -> list[bytes]:
        """Return the users in the order of the file."""
        return [user for user in map(_user, self._lines) if user is not None]

    def stored(self, user: bytes) -> bytes | None:
        """Return the hash of `user` in any format; the last of several, as the registry uses it."""
        found = None
        for entry in map(_entry, self._lines):
            if entry is not None and entry.user == user:
                found = entry.stored
        return found

    def put(self, user: bytes, stored: bytes) -> None:
        """Replace the user's lines by one, or append it."""
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
        """Remove all lines of `user`."""
        self._lines = [line for line in self._lines if _user(line) != user]


def change(path: Path, edit: Callable[[bytes | None], bytes]) -> None:
    """Replace the content of the file by `edit` of it, None for a missing file. It is durable on return.

    Owner, mode and a link to the file are kept. Concurrent changes wait. Raises OSError.
    """
    target = path.resolve()
    with _locked(target.parent):
        try:
            before = target.stat()
            content = edit(target.read_bytes())
        except FileNotFoundError:
            before = None
            content = edit(None)
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                if before is not None:
                    os.fchown(handle, before.st_uid, before.st_gid)
                os.fchmod(handle, NEW_MODE if before is None else stat.S_IMODE(before.st_mode))
                os.fsync(handle)
            Path(temporary).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Lock the directory against other changes, and sync its names at the end."""
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
