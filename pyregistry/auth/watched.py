"""A file that says who gets in: taken over when it changes, given up a minute after it could last be used.

Two threads of each process look after it, so that neither requests nor the storage can delay them: one looks at the
file, and one counts for how long no look found it usable, also where a look never returns. Looks are counted, not
seconds: a process that was paused need not give up a file that it had no chance to read.
"""

import mmap
import os
import stat
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import structlog

from pyregistry.opener import open_file, stat_file
from pyregistry.storage.settling import settles_after

POLL_SECONDS = 0.5
"""A change counts when it was seen twice, and so is in force after a second."""
UNSETTLED_LOOKS = 3
"""A file that looks different at each of so many looks in a row is taken over all the same."""
KEPT_LOOKS = 115
"""Looks, in sum just below a minute, for which the last good content of an unusable file stays in force."""
FIRST_LOOK_SECONDS = 1.0
"""Seconds for which a process that begins waits for its first look, which may never return."""
REPEAT_SECONDS = 60.0
"""Seconds between two log lines that say the same."""
_LATE_NS = 100_000_000
"""More than the clock of the kernel for files is late."""
MAX_FILE_BYTES = 1024 * 1024

log = structlog.get_logger("pyregistry.auth")

_Signature = tuple[int, ...]


class FileUnusable(Exception):
    """The file cannot be used; the text says why, and quotes nothing of the file that may be secret."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """Meaning of a file: its name in the log, and the two things that can happen to it."""

    name: str
    given_up: str
    """Consequence of an unusable file, for the log."""
    take: Callable[[bytes], None]
    """Put this content in force; raise FileUnusable."""
    give_up: Callable[[], None]
    """Put in force that nothing is allowed."""


class _LastGood:
    """Time and hash of the content that was good last, in memory shared with all processes forked from this one."""

    _FORMAT = struct.Struct("d32s")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self._FORMAT.size)

    def note(self, digest: bytes) -> None:
        """A look found this content in force, or took it over."""
        self._FORMAT.pack_into(self._memory, 0, time.monotonic(), digest)

    def looks_since(self, digest: bytes) -> int:
        """Looks that were due since then; more than are waited for if the content was another one."""
        at, noted = self._FORMAT.unpack_from(self._memory, 0)
        return int((time.monotonic() - at) / POLL_SECONDS) if noted == digest else KEPT_LOOKS


class WatchedFile:
    """One such file. Made before the fork, watched after it."""

    def __init__(self, path: Path, purpose: Purpose) -> None:
        """Take over what is there. Blocks. Raises FileUnusable."""
        self._path, self._purpose = path, purpose
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._last_good = _LastGood()
        self._content: bytes | None = None
        """The content that was read last, good or not."""
        self._trouble = ""
        """Why that content is not good."""
        self._digest = b""
        """Of the content in force."""
        self._missed = 0
        """Looks in a row that did not find the file usable."""
        self._is_given_up = False
        self._complained = ("", 0.0)
        self._in_force: _Signature | None = None
        """Signature of the content that is known; None: to be read again."""
        self._seen: _Signature | None = None
        self._unsettled = 0
        self._load(self._signature())

    def start(self) -> None:
        """Look at the file regularly, until `close`. Blocks for a first look, for FIRST_LOOK_SECONDS at most.

        This process may replace another, which knew newer content than was there before the fork. If the file cannot
        be used at this moment, the time that it was unusable already counts.
        """
        looked = threading.Event()
        for work, name in ((lambda: self._watch(looked), "looking"), (self._watch_the_looks, "counting")):
            threading.Thread(target=work, name=f"{self._purpose.name}, {name}", daemon=True).start()
        if not looked.wait(FIRST_LOOK_SECONDS):
            self._count_since_the_last_good()

    def close(self) -> None:
        """Look no more."""
        self._end.set()

    def look(self, *, settled: bool) -> bool:
        """Take over what has changed; return False if the file cannot be used.

        `settled`: only if it looks as it did the last time, as editors truncate a file before they write it.
        """
        try:
            signature = self._signature()
            before, self._seen = self._seen, signature
            if signature == self._in_force and not self._is_given_up:
                self._unsettled = 0
                self._found_good()
            elif signature == before or not settled or self._unsettled + 1 >= UNSETTLED_LOOKS:
                self._unsettled = 0
                self._load(signature)
            else:
                self._unsettled += 1
        except FileUnusable as error:
            self._complain(str(error))
        except Exception as error:  # the watch has to go on
            self._complain(type(error).__name__)
        else:
            return True
        return False

    def _watch(self, looked: threading.Event) -> None:
        if not self.look(settled=False):
            self._count_since_the_last_good()
        looked.set()
        while not self._end.wait(POLL_SECONDS):
            self.look(settled=True)

    def _watch_the_looks(self) -> None:
        while not self._end.wait(POLL_SECONDS):
            self._count()

    def _count_since_the_last_good(self) -> None:
        """Count the looks that another process missed before this one, too."""
        with self._lock:
            self._missed = max(self._missed, self._last_good.looks_since(self._digest))
        self._count()

    def _count(self) -> None:
        """Give the file up when too many looks in a row missed it."""
        with self._lock:
            self._missed += 1
            if self._missed <= KEPT_LOOKS or self._is_given_up:
                return
            self._is_given_up = True
            self._purpose.give_up()
        name, given_up = self._purpose.name, self._purpose.given_up
        log.error(f"{name} not usable for a minute: {given_up} until it can be used", path=str(self._path))

    def _complain(self, reason: str) -> None:
        last, at = self._complained
        if reason != last or time.monotonic() - at > REPEAT_SECONDS:
            self._complained = reason, time.monotonic()
            kept = "the last good content stays in force for up to a minute"
            state = self._purpose.given_up if self._is_given_up else kept
            log.error(f"{self._purpose.name} not usable, {state}", reason=reason, path=str(self._path))

    def _load(self, signature: _Signature) -> None:
        self._check_mode()
        content = self._read()
        if content != self._content or (self._is_given_up and not self._trouble):
            self._content = content
            self._trouble = self._take(content)
        if self._trouble:
            raise FileUnusable(self._trouble)
        # If it changed while it was read, or so shortly before that a second change would look the same, once more.
        self._in_force = signature if signature == self._signature() and self._is_old() else None
        self._complained = ("", 0.0)
        self._found_good()

    def _take(self, content: bytes) -> str:
        with self._lock:
            try:
                self._purpose.take(content)
            except FileUnusable as error:
                return str(error)
            self._digest = sha256(content).digest()
            self._is_given_up, self._missed = False, 0
        return ""

    def _found_good(self) -> None:
        with self._lock:
            self._missed = 0
            self._last_good.note(self._digest)

    def _check_mode(self) -> None:
        mode = stat.S_IMODE(self._stat().st_mode)
        if mode & stat.S_IWOTH:
            raise FileUnusable(f"everybody on this machine may write to it (mode {mode:04o})")

    def _signature(self) -> _Signature:
        found = self._stat()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _is_old(self) -> bool:
        changed_ns = self._stat().st_ctime_ns  # not of the content alone: nobody can set it
        return abs(time.time_ns() - changed_ns) > settles_after(changed_ns, _LATE_NS)

    def _stat(self) -> os.stat_result:
        try:
            return stat_file(self._path)
        except OSError as error:
            raise FileUnusable(str(error.strerror)) from error

    def _read(self) -> bytes:
        try:
            if not stat.S_ISREG(self._stat().st_mode):  # to open a device may do something
                raise FileUnusable("not a regular file")
            # Not blocking: since then it may have become a FIFO, whose other end may never be opened.
            with os.fdopen(open_file(self._path), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise FileUnusable("not a regular file")
                content = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise FileUnusable(str(error.strerror)) from error
        if len(content) > MAX_FILE_BYTES:
            raise FileUnusable(f"more than {MAX_FILE_BYTES} bytes")
        return content
