"""A value made from files and reloaded when they change: passwords, rules, keys, certificates.

Each process checks the files in a thread of its own, which neither requests nor the storage can delay. If the value can
expire, a second thread counts the checks without usable files, also while a check hangs. It counts checks, not seconds:
a process that was paused must not give up files that it had no chance to read.
"""

import mmap
import stat
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from pyregistry.common.opener import stat_file
from pyregistry.common.racy import racy_window_ns

POLL_SECONDS = 0.5
"""Seconds between two checks. A change must be seen twice, so it is active after a second."""
UNSTABLE_CHECKS = 3
"""Checks in a row after which files that keep changing are loaded anyway."""
KEPT_CHECKS = 115
"""Checks, just below a minute, for which the last valid value stays active before it is given up."""
FIRST_CHECK_SECONDS = 1.0
"""Seconds that a new process waits for its first check, which may hang."""
REPEAT_SECONDS = 60.0
"""Seconds between two identical log lines."""
_LATE_NS = 100_000_000
"""Upper bound of the delay of the kernel's clock for files, in nanoseconds."""
_DIGEST_BYTES = 32

T = TypeVar("T")

_Status = tuple[int, ...]
"""State of one file: two numbers if it is not a regular file, only the error's number if it is missing."""
_Signature = tuple[_Status, ...]


class FileUnusable(Exception):
    """The file cannot be used; the text says why and quotes no secret of it."""


@dataclass(frozen=True, slots=True)
class GivenUp(Generic[T]):
    """Replacement for a value whose files were unusable for a minute."""

    value: T
    consequence: str
    """Its effect, for the log."""


@dataclass(frozen=True, slots=True)
class Use(Generic[T]):
    """Functions that make a value from files, and the log lines about it."""

    name: str
    read: Callable[[], Sequence[bytes]]
    """Return the contents of the files; raise FileUnusable or `invalid`. Blocks."""
    make: Callable[[Sequence[bytes]], T]
    """Make the value from these contents; raise FileUnusable or `invalid`. Blocks."""
    describe: Callable[[T], Mapping[str, object]]
    """Return fields for the log line about a new value."""
    invalid: type[Exception] = FileUnusable
    """Error of `read` and `make` whose text may be logged."""
    unusable: str = ""
    """Log line for unusable files if the last valid value stays active; empty: it stays so for a minute."""
    restored: str = ""
    """Log line for files that are usable again and unchanged; empty: none."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Fields of log lines about unusable files."""
    given_up: GivenUp[T] | None = None
    """None: the last valid value stays active until there is another."""
    logger: str = "pyregistry.auth"


class _SharedState:
    """The last valid contents and the last complaint, in memory shared with all forked processes."""

    _FORMAT = struct.Struct(f"d{_DIGEST_BYTES}s")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 2 * self._FORMAT.size)

    def note_good(self, digest: bytes) -> None:
        """Note that these contents are active and were just checked."""
        self._FORMAT.pack_into(self._memory, 0, time.monotonic(), digest)

    def checks_since(self, digest: bytes) -> int:
        """Return the number of checks due since then; KEPT_CHECKS if other contents were noted."""
        at, noted = self._FORMAT.unpack_from(self._memory, 0)
        return int((time.monotonic() - at) / POLL_SECONDS) if noted == digest else KEPT_CHECKS

    def is_new(self, complaint: str) -> bool:
        """Note a complaint, empty for a recovery; return True if no process logged it in the last minute."""
        digest = blake2b(complaint.encode(errors="replace"), digest_size=_DIGEST_BYTES).digest()
        at, noted = self._FORMAT.unpack_from(self._memory, self._FORMAT.size)
        if noted == digest and (not complaint or time.monotonic() - at <= REPEAT_SECONDS):
            return False
        self._FORMAT.pack_into(self._memory, self._FORMAT.size, time.monotonic(), digest)
        return True


class ReloadedFiles(Generic[T]):
    """One such value, of one or several files. Made before the fork, watched after it."""

    value: T
    """The active value."""

    def __init__(self, paths: Sequence[Path], use: Use[T]) -> None:
        """Load the value. Blocks. Raises FileUnusable, and `use.invalid`."""
        self._paths, self._use = tuple(paths), use
        self._log = structlog.get_logger(use.logger)
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._shared = _SharedState()
        self._contents: bytes | None = None
        """Digest of the contents that were read last, valid or not; None: unknown."""
        self._trouble = ""
        """Reason why those contents are invalid."""
        self._in_force = b""
        """Digest of the active contents."""
        self._missed = 0
        """Checks in a row that did not find the files usable."""
        self._is_given_up = False
        self._complained = False
        self._known: _Signature | None = None
        """Signature of the contents that were read last; None: reload them."""
        self._seen: _Signature | None = None
        self._unstable = 0
        self._load(self._signature())

    def start(self) -> None:
        """Check the files regularly, until `close`. Blocks for the first check, at most FIRST_CHECK_SECONDS.

        This process may replace another that knew newer contents than those before the fork. If the files are unusable
        now, the time for which they already were counts.
        """
        looked = threading.Event()
        self._start_thread("checking", lambda: self._watch(looked))
        if self._use.given_up is not None:
            self._start_thread("counting", self._watch_the_checks)
        if not looked.wait(FIRST_CHECK_SECONDS):
            self._count_since_the_last_good()

    def close(self) -> None:
        """Stop checking."""
        self._end.set()

    def check(self, *, stable: bool) -> bool:
        """Reload changed files; return False if they are unusable.

        `stable`: only if nothing changed since the last check, as editors truncate a file before they write it.
        """
        try:
            self._check(stable=stable)
        except (FileUnusable, self._use.invalid) as error:
            self._complain(str(error))
        except Exception as error:  # the watch must continue
            self._complain(type(error).__name__)
        else:
            return True
        return False

    def _check(self, *, stable: bool) -> None:
        signature = self._signature()
        before, self._seen = self._seen, signature
        if signature == self._known and not self._is_given_up and not self._trouble:
            self._unstable = 0
            self._found_good()
        elif signature == before or not stable or self._unstable + 1 >= UNSTABLE_CHECKS:
            self._unstable = 0
            self._load(signature)
        else:
            self._unstable += 1

    def _start_thread(self, work: str, run: Callable[[], None]) -> None:
        threading.Thread(target=run, name=f"{self._use.name}, {work}", daemon=True).start()

    def _watch(self, looked: threading.Event) -> None:
        if not self.check(stable=False):
            self._count_since_the_last_good()
        looked.set()
        while not self._end.wait(POLL_SECONDS):
            self.check(stable=True)

    def _watch_the_checks(self) -> None:
        while not self._end.wait(POLL_SECONDS):
            self._count()

    def _count_since_the_last_good(self) -> None:
        """Count also the checks that another process missed before this one."""
        with self._lock:
            self._missed = max(self._missed, self._shared.checks_since(self._in_force))
        self._count()

    def _count(self) -> None:
        """Give up the value after too many missed checks in a row."""
        given_up = self._use.given_up
        with self._lock:
            self._missed += 1
            if given_up is None or self._missed <= KEPT_CHECKS or self._is_given_up:
                return
            self._is_given_up = True
            self.value = given_up.value
        event = f"{self._use.name} not usable for a minute: {given_up.consequence} until it can be used"
        self._log.error(event, **self._use.fields)

    def _complain(self, reason: str) -> None:
        self._complained = True
        if self._shared.is_new(reason):
            self._log.error(self._unusable(), reason=reason, **self._use.fields)

    def _unusable(self) -> str:
        given_up = self._use.given_up if self._is_given_up else None
        if given_up is None and self._use.unusable:
            return self._use.unusable
        kept = "the last valid content stays active for up to a minute"
        return f"{self._use.name} not usable, {kept if given_up is None else given_up.consequence}"

    def _load(self, signature: _Signature) -> None:
        contents = self._use.read()
        digest = _digest_of(contents)
        is_other = digest != self._contents or (self._is_given_up and not self._trouble)
        if is_other:
            self._make(contents, digest, signature)
        if self._trouble:
            raise FileUnusable(self._trouble)
        # Reload if they changed during the read, or so shortly before it that a second change would not show.
        self._known = signature if signature == self._signature() and _shows_changes(signature) else None
        self._found_good(is_other=is_other)

    def _make(self, contents: Sequence[bytes], digest: bytes, signature: _Signature) -> None:
        is_first, self._contents = not self._in_force, digest
        try:
            made = self._use.make(contents)
        except Exception as error:
            is_told = isinstance(error, FileUnusable | self._use.invalid)
            self._trouble = str(error) if is_told else type(error).__name__
            if signature != self._signature():  # `make` may have read other files than these
                self._contents = None
            raise
        self._trouble = ""
        with self._lock:
            self.value = made
            self._in_force = digest
            self._is_given_up, self._missed = False, 0
        if not is_first:
            self._log.info(f"{self._use.name} reloaded", **self._use.describe(made))

    def _found_good(self, *, is_other: bool = False) -> None:
        if self._complained:
            self._complained = False
            if self._shared.is_new("") and self._use.restored and not is_other:
                self._log.info(self._use.restored, **self._use.fields)
        with self._lock:
            self._missed = 0
            self._shared.note_good(self._in_force)

    def _signature(self) -> _Signature:
        return tuple(map(_status_of, self._paths))


def _status_of(path: Path) -> _Status:
    try:
        found = stat_file(path)
    except OSError as error:
        return (error.errno or 0,)
    if not stat.S_ISREG(found.st_mode):  # its times change with each use
        return found.st_dev, found.st_ino
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _shows_changes(signature: _Signature) -> bool:
    """Return True if any later change of these files would show."""
    now = time.time_ns()  # compared with st_ctime, which cannot be set
    changes = [status[-1] for status in signature if len(status) > 2]
    return all(abs(now - changed_ns) > racy_window_ns(changed_ns, _LATE_NS) for changed_ns in changes)


def _digest_of(contents: Sequence[bytes]) -> bytes:
    total = sha256()
    for content in contents:
        total.update(len(content).to_bytes(8, "big"))
        total.update(content)
    return total.digest()
