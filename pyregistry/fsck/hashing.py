"""Verification of a blob, with a rate limit and without filling the page cache."""

import errno
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from enum import Enum, auto

from pyregistry.fsck.entries import FORBIDDING
from pyregistry.oci.digest import Digest, new_hash
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Coordinator, Quiet
from pyregistry.storage.seams.objects import Objects
from pyregistry.storage.seams.sources import ContentId, OpenSource, PathNotFound


class Verdict(Enum):
    """The result of reading a blob."""

    RIGHT = auto()
    CORRUPT = auto()
    UNREADABLE = auto()
    """The disk does not return the bytes."""
    FORBIDDEN = auto()
    """This user has no right to read them."""
    GONE = auto()


DAMAGED = frozenset({Verdict.CORRUPT, Verdict.UNREADABLE})


@dataclass(frozen=True, slots=True)
class Checked:
    """A verdict about the bytes of one write: `content_id` tells whether they are still there."""

    verdict: Verdict
    content_id: ContentId = 0
    reason: str = ""


Limit = Callable[[int], object]
"""Called with the number of bytes that were read; it may sleep, to slow reading down."""


def unlimited(size: int) -> None:
    """Read as fast as possible."""


def verify(objects: Objects, digest: Digest, limit: Limit = unlimited) -> Checked:
    """Read a blob; one that looks damaged is read a second time, from the disk, before it counts as such. Blocks."""
    with _opened(objects, digest) as opened:
        return opened if isinstance(opened, Checked) else _judge_twice(opened, digest, limit)


def quarantine_if_damaged(objects: Objects, coordinator: Coordinator, digest: Digest) -> bool:
    """Read a blob, and put it into quarantine if it is damaged; return True if it was. Blocks.

    Do not call it in a quiet moment: it begins one. The next push finds the blob missing and uploads it again.
    """
    with _opened(objects, digest) as opened:
        checked = opened if isinstance(opened, Checked) else _judge_twice(opened, digest, unlimited)
        if checked.verdict not in DAMAGED:
            return False
        # As long as it is open, nothing else can have its content_id.
        with coordinator.quiet() as quiet:
            return put_into_quarantine(objects, quiet, digest, checked.content_id)


def put_into_quarantine(objects: Objects, quiet: Quiet, digest: Digest, content_id: ContentId) -> bool:
    """Put the bytes of a blob into quarantine, unless they have been replaced; return True if it did."""
    try:
        if objects.stat(layout.blob_data(digest)).content_id != content_id:
            return False
        quiet.quarantine(digest)
    except PathNotFound:
        return False
    return True


@contextmanager
def _opened(objects: Objects, digest: Digest) -> Iterator[OpenSource | Checked]:
    path = layout.blob_data(digest)
    with ExitStack() as stack:
        opened: OpenSource | Checked
        content_id: ContentId = 0
        try:
            content_id = objects.stat(path).content_id
            opened = stack.enter_context(closing(objects.source(path).open()))
        except PathNotFound:
            opened = Checked(Verdict.GONE)
        except OSError as error:
            opened = _not_read(error, content_id)
        yield opened


def _judge_twice(opened: OpenSource, digest: Digest, limit: Limit) -> Checked:
    checked = _judge(opened, digest, limit)
    return checked if checked.verdict is Verdict.RIGHT else _judge(opened, digest, limit)


def _judge(opened: OpenSource, digest: Digest, limit: Limit) -> Checked:
    total = new_hash(digest.algorithm)
    size = 0
    try:
        for block in opened.blocks(once=True):
            total.update(block)
            size += len(block)
            limit(len(block))
    except OSError as error:
        return _not_read(error, opened.content_id)
    if total.hexdigest() != digest.encoded:
        return Checked(Verdict.CORRUPT, opened.content_id, f"its {size} bytes are those of {Digest.from_hash(total)}")
    return Checked(Verdict.RIGHT, opened.content_id)


def _not_read(error: OSError, content_id: ContentId) -> Checked:
    forbidden = error.errno in FORBIDDING
    name = errno.errorcode.get(error.errno or 0, "?")
    verdict = Verdict.FORBIDDEN if forbidden else Verdict.UNREADABLE
    return Checked(verdict, content_id, f"it cannot be read: {error.strerror} ({name})")
