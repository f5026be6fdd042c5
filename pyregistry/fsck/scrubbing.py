"""The scrub: it reads all blobs again, those first that were not read for the longest time.

The next run continues one that was cut off. A pass is over when each blob was read since it began.
"""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from pyregistry.fsck import coverage
from pyregistry.fsck.checking import READ_ONLY
from pyregistry.fsck.coverage import Shard
from pyregistry.fsck.entries import no_permission
from pyregistry.fsck.findings import Finding, Kind
from pyregistry.fsck.hashing import DAMAGED, Limit, Verdict, unlimited, verify
from pyregistry.oci.digest import Digest
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Coordinator
from pyregistry.storage.seams.objects import Objects, PathBusy

_HOLDER = "scrub"
_SAVE_SECONDS = 30.0


class ScrubBusy(Exception):
    """Another scrub is running."""


@dataclass(slots=True)
class Coverage:
    """The progress of a pass. Sizes in bytes, times in nanoseconds since the epoch."""

    begun: int = 0
    blobs: int = 0
    size: int = 0
    is_counted: bool = False
    """False until all blobs and their sizes are counted."""
    checked: int = 0
    """Since the pass began, by earlier runs too."""
    checked_size: int = 0
    never: int = 0
    """Never read, or found damaged."""
    oldest: int | None = None
    """The oldest check of those that were ever read."""
    damaged: set[Digest] = field(default_factory=set)


class RateLimiter:
    """A limit of bytes a second, kept by sleeping."""

    def __init__(self, per_second: float, sleep: Callable[[float], object] = time.sleep) -> None:
        self._per_second = per_second
        self._sleep = sleep
        self._free_at = time.monotonic()

    def __call__(self, size: int, /) -> None:
        """Sleep until so many bytes were allowed."""
        now = time.monotonic()
        # Unused bytes are not saved up: after a pause the disk is not asked for more at once.
        self._free_at = max(self._free_at, now) + size / self._per_second
        if self._free_at > now:
            self._sleep(self._free_at - now)


def scrub(
    objects: Objects,
    coordinator: Coordinator,
    progress: Coverage,
    advance: Callable[[int], None],
    limit: Limit = unlimited,
) -> Generator[Finding]:
    """Yield the damaged blobs, and fill `progress`; call `advance` with the size of each blob that was read. Blocks.

    Raises ScrubBusy. What was read so far is remembered also when the caller stops in the middle.
    """
    with ExitStack() as locks:
        try:
            locks.enter_context(coordinator.single(_HOLDER, wait=False))
        except PathBusy as error:
            raise ScrubBusy("another scrub is running") from error
        except OSError as error:
            # A read-only mount, such as that of a backup, is scrubbed without a lock and without a memory.
            if error.errno not in READ_ONLY:
                raise
        progress.begun = coverage.begin_pass(objects)
        order = []
        for algorithm, prefix in coverage.shards(objects):
            shard = coverage.load(objects, algorithm, prefix)
            _count(progress, shard)
            order.append((shard.oldest, algorithm, prefix))
        progress.is_counted = True
        advance(progress.checked_size)
        for _, algorithm, prefix in sorted(order):
            yield from _scrub_shard(objects, coverage.load(objects, algorithm, prefix), progress, advance, limit)
        coverage.end_pass(objects)


def summarize(objects: Objects, progress: Coverage) -> None:
    """Find when the blobs were read, by what is remembered now; count them if the run was stopped before. Blocks."""
    progress.never, progress.oldest = 0, None
    if not progress.is_counted:
        progress.blobs = progress.size = progress.checked = progress.checked_size = 0
    for algorithm, prefix in coverage.shards(objects):
        shard = coverage.load(objects, algorithm, prefix)
        if not progress.is_counted:
            _count(progress, shard)
        times = [at for at in (shard.checked.get(encoded, 0) for encoded in shard.sizes) if at]
        progress.never += len(shard.sizes) - len(times)
        if times:
            progress.oldest = min(times) if progress.oldest is None else min(progress.oldest, *times)


def _count(progress: Coverage, shard: Shard) -> None:
    progress.blobs += len(shard.sizes)
    progress.size += sum(shard.sizes.values())
    for encoded, size in shard.sizes.items():
        if shard.checked.get(encoded, 0) >= progress.begun:
            progress.checked += 1
            progress.checked_size += size


def _scrub_shard(
    objects: Objects, shard: Shard, progress: Coverage, advance: Callable[[int], None], limit: Limit
) -> Iterator[Finding]:
    saved_at = time.monotonic()
    unread = sorted((shard.checked.get(encoded, 0), encoded) for encoded in shard.sizes)
    try:
        for checked_at, encoded in unread:
            if checked_at >= progress.begun:
                continue
            finding = _scrub_blob(objects, Digest(f"{shard.algorithm}:{encoded}"), limit)
            if finding is None:
                shard.checked[encoded] = time.time_ns()
            else:
                shard.checked.pop(encoded, None)  # so that the next run begins with it
            progress.checked += 1
            progress.checked_size += shard.sizes[encoded]
            advance(shard.sizes[encoded])
            if finding is not None:
                if finding.digest is not None and finding.kind is not Kind.NO_PERMISSION:
                    progress.damaged.add(finding.digest)
                yield finding
            if time.monotonic() - saved_at > _SAVE_SECONDS:
                _remember(objects, shard)
                saved_at = time.monotonic()
    finally:
        _remember(objects, shard)


def _remember(objects: Objects, shard: Shard) -> None:
    with suppress(OSError):  # a full disk: what was read is read again
        coverage.save(objects, shard)


def _scrub_blob(objects: Objects, digest: Digest, limit: Limit) -> Finding | None:
    checked = verify(objects, digest, limit)
    if checked.verdict in (Verdict.RIGHT, Verdict.GONE):
        return None
    if checked.verdict not in DAMAGED:
        return Finding(Kind.NO_PERMISSION, layout.blob_data(digest), no_permission(), digest=digest)
    kind = Kind.CORRUPT_BLOB if checked.verdict is Verdict.CORRUPT else Kind.UNREADABLE_BLOB
    sentence = f"the blob {digest}: {checked.reason}; push it again"
    return Finding(kind, layout.blob_data(digest), sentence, digest=digest)
