"""Removes abandoned uploads from time to time: `storage.maintenance.uploadpurging`.

While the disk is so full that uploads are rejected, uploads that are idle for an hour are removed. Those that are idle
longest go first, until there is free space: a broken push must not keep a full disk full for a week.

The CNCF registry uses the time at which an upload began, and so deletes a slow one under its writer. Here the last byte
counts, and a writer holds the upload's lock.
"""

import asyncio
import errno
import random
import time
from dataclasses import dataclass
from typing import Protocol

from pyregistry.common.system_errors import in_words
from pyregistry.storage.repositories.open_uploads import OpenUpload, walk_uploads
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams.uploads import Upload
from pyregistry.storage.uploads.batches import BATCH_BYTES
from pyregistry.threads.fair_scheduler import Walk
from pyregistry.threads.offload import in_reader, walk

FIRST_RUN_SECONDS = 3600.0
"""Seconds within which the first run happens, at random, so that workers and servers do not run together."""


SHORT_AGE_SECONDS = 3600.0
"""Seconds after which an idle upload is removed while the disk is full."""
_CHECK_SECONDS = 60.0
"""Most seconds between two checks of the free space."""


class PurgeLog(Protocol):
    """The part of structlog's loggers used here; a command has its own, without the import of that library."""

    def info(self, event: str, **values: object) -> object:
        """Log that an upload was removed."""

    def warning(self, event: str, **values: object) -> object:
        """Log that an upload could not be removed."""

    def error(self, event: str, **values: object) -> object:
        """Log that the purge failed."""


@dataclass(frozen=True, slots=True)
class Purging:
    """Settings of the purge. Times in seconds."""

    age: float
    interval: float
    dry_run: bool = False


async def purge_regularly(registry: Registry, purging: Purging, log: PurgeLog) -> None:
    """Purge at intervals until cancelled; check the free space in between."""
    due = time.monotonic() + random.uniform(0, min(FIRST_RUN_SECONDS, purging.interval))  # noqa: S311 - spreads load, keeps no secret
    while True:
        await asyncio.sleep(max(min(due - time.monotonic(), _CHECK_SECONDS), 0.0))
        try:
            if time.monotonic() >= due:
                due = time.monotonic() + purging.interval
                await purge(registry, purging, log)
            await purge_for_space(registry, purging, log)
        except OSError as error:
            log.error("uploads could not be purged", reason=in_words(error))


async def purge(registry: Registry, purging: Purging, log: PurgeLog) -> list[OpenUpload]:
    """Remove the uploads older than `age`; return them, with `dry_run` those that would be removed."""
    before_ns = time.time_ns() - round(purging.age * 1e9)
    purged = []
    for each in await walk("purging", _older(registry, before_ns, log)):
        if purging.dry_run or await _expire(each, before_ns, log):
            purged.append(each)
            log.info("upload purged", repository=each.repository, upload=each.id, dry_run=purging.dry_run)
    return purged


async def purge_for_space(registry: Registry, purging: Purging, log: PurgeLog) -> list[OpenUpload]:
    """Remove uploads that are idle for SHORT_AGE_SECONDS until there is free space for others; return them.

    For each file system, the uploads on it. With `dry_run` nothing is removed.
    """
    if purging.dry_run or not await in_reader(registry.is_short_of_space, BATCH_BYTES):
        return []
    before_ns = time.time_ns() - round(min(purging.age, SHORT_AGE_SECONDS) * 1e9)
    purged = []
    for each in await walk("purging", _older(registry, before_ns, log)):
        if await in_reader(each.upload.available_bytes) < BATCH_BYTES and await _expire(each, before_ns, log):
            purged.append(each)
            log.info("upload purged, the disk is full", repository=each.repository, upload=each.id, size=each.size)
    return purged


async def _expire(each: OpenUpload, before_ns: int, log: PurgeLog) -> bool:
    try:
        return await each.upload.expire(before_ns)
    except OSError as error:
        if error.errno == errno.EROFS:  # then none can be removed
            raise
        _stays(each.upload, error, log)
        return False


def _older(registry: Registry, before_ns: int, log: PurgeLog) -> Walk[list[OpenUpload]]:
    found = yield from walk_uploads(registry, lambda upload, error: _stays(upload, error, log))
    return [each for each in found if each.changed_ns < before_ns]


def _stays(upload: Upload, error: OSError, log: PurgeLog) -> None:
    # An upload of another server may belong to another user; the purge continues with the next.
    log.warning("upload cannot be purged", repository=upload.repository, upload=upload.id, reason=in_words(error))
