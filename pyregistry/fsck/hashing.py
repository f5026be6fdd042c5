"""Reading a blob to its end, in a way that others do not feel."""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import BinaryIO, Protocol

from pyregistry.fsck.entries import FORBIDDING
from pyregistry.oci.digest import Digest, new_hash
from pyregistry.storage import layout, leases
from pyregistry.storage.driver import Bytes, Driver, PathNotFound

BLOCK = 1024 * 1024
_FORGET = 8 * BLOCK
"""Bytes after which the system is told that they will not be read again."""


class Verdict(Enum):
    """What reading a blob came to."""

    RIGHT = auto()
    CORRUPT = auto()
    UNREADABLE = auto()
    """The disk does not give the bytes."""
    FORBIDDEN = auto()
    """This user has no right to read them."""
    GONE = auto()


DAMAGED = frozenset({Verdict.CORRUPT, Verdict.UNREADABLE})


@dataclass(frozen=True, slots=True)
class Checked:
    """A verdict about one file; whether it is still that file shows its inode."""

    verdict: Verdict
    inode: int = 0
    reason: str = ""


class Brake(Protocol):
    """Slows reading down."""

    def __call__(self, size: int, /) -> None:
        """That many bytes were read."""


def no_brake(size: int) -> None:
    """As fast as it goes."""


def verify(driver: Driver, digest: Digest, brake: Brake = no_brake) -> Checked:
    """Read a blob; what looks wrong is read a second time, from the disk, before it is called so. Blocks."""
    with _opened(driver, digest) as opened:
        return opened if isinstance(opened, Checked) else _judge_twice(opened, digest, brake)


def quarantine_if_damaged(driver: Driver, digest: Digest) -> bool:
    """Read a blob, and put it away if it is damaged; whether it was. Blocks. In no section: it takes the exclusive one.

    The next push of it finds it absent and brings it again.
    """
    with _opened(driver, digest) as opened:
        checked = opened if isinstance(opened, Checked) else _judge_twice(opened, digest, no_brake)
        if checked.verdict not in DAMAGED:
            return False
        # As long as the file is open, no other one can have its inode.
        with leases.exclusive_section(driver):
            return put_into_quarantine(driver, digest, checked.inode)


def put_into_quarantine(driver: Driver, digest: Digest, inode: int) -> bool:
    """Put the bytes of a blob away, unless it is another file by now; whether it did. In an exclusive section."""
    path = layout.blob_data(digest)
    try:
        stat = driver.stat(path)
        if stat.file_inode != inode:
            return False
        driver.move(path, layout.quarantined(digest, stat.mtime_ns, driver.place_of(path)))
    except PathNotFound:
        return False
    driver.prune(layout.blob(digest))
    return True


@dataclass(frozen=True, slots=True)
class _Opened:
    inode: int
    file: BinaryIO | None
    content: bytes = b""


@contextmanager
def _opened(driver: Driver, digest: Digest) -> Iterator[_Opened | Checked]:
    path = layout.blob_data(digest)
    with ExitStack() as stack:
        opened: _Opened | Checked
        inode = 0
        try:
            inode = driver.stat(path).file_inode
            source = driver.source(path)
            if isinstance(source, Bytes):
                opened = _Opened(inode, None, source.content)
            else:
                file = stack.enter_context(source.open())
                opened = _Opened(os.fstat(file.fileno()).st_ino, file)
        except PathNotFound:
            opened = Checked(Verdict.GONE)
        except OSError as error:
            opened = _not_read(error, inode)
        yield opened


def _judge_twice(opened: _Opened, digest: Digest, brake: Brake) -> Checked:
    checked = _judge(opened, digest, brake)
    return checked if checked.verdict is Verdict.RIGHT else _judge(opened, digest, brake)


def _judge(opened: _Opened, digest: Digest, brake: Brake) -> Checked:
    total = new_hash(digest.algorithm)
    size = 0
    try:
        for block in _blocks(opened.file, brake) if opened.file is not None else (opened.content,):
            total.update(block)
            size += len(block)
    except OSError as error:
        return _not_read(error, opened.inode)
    if total.hexdigest() != digest.encoded:
        return Checked(Verdict.CORRUPT, opened.inode, f"its {size} bytes are those of {Digest.from_hash(total)}")
    return Checked(Verdict.RIGHT, opened.inode)


def _blocks(file: BinaryIO, brake: Brake) -> Iterator[bytes]:
    handle = file.fileno()
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_SEQUENTIAL)
    offset = forgotten = 0
    while block := os.pread(handle, BLOCK, offset):
        offset += len(block)
        yield block
        if offset - forgotten >= _FORGET:
            os.posix_fadvise(handle, forgotten, offset - forgotten, os.POSIX_FADV_DONTNEED)
            forgotten = offset
        brake(len(block))
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)  # all of it: a second reading is to come from the disk


def _not_read(error: OSError, inode: int) -> Checked:
    forbidden = error.errno in FORBIDDING
    name = errno.errorcode.get(error.errno or 0, "?")
    verdict = Verdict.FORBIDDEN if forbidden else Verdict.UNREADABLE
    return Checked(verdict, inode, f"it cannot be read: {error.strerror} ({name})")
