"""Uploads that nobody goes on with, removed from time to time: `storage.maintenance.uploadpurging`.

The CNCF registry goes by the time at which an upload began, and so deletes a slow one under its writer; here the last
byte counts, and whoever is writing holds the upload's lock.
"""

import asyncio
import errno
import random
import time
from dataclasses import dataclass
from typing import Protocol

from pyregistry.storage.registry import Registry
from pyregistry.storage.threads import walk
from pyregistry.storage.turns import Walk
from pyregistry.storage.uploads import Upload

FIRST_RUN = 3600.0
"""Seconds within which the first run happens, at random, so that workers and servers do not run together."""


class Log(Protocol):
    """What we use of structlog's loggers; a command has one of its own, and need not wait for that library."""

    def info(self, event: str, **values: object) -> object:
        """An upload was removed."""

    def warning(self, event: str, **values: object) -> object:
        """One could not be."""

    def error(self, event: str, **values: object) -> object:
        """None could be."""


@dataclass(frozen=True, slots=True)
class Purging:
    """Times in seconds."""

    age: float
    interval: float
    dry_run: bool = False


async def purge_regularly(registry: Registry, purging: Purging, log: Log) -> None:
    """Purge again and again until cancelled."""
    delay = random.uniform(0, min(FIRST_RUN, purging.interval))  # noqa: S311 - spreads load, keeps no secret
    while True:
        await asyncio.sleep(delay)
        delay = purging.interval
        try:
            await purge(registry, purging, log)
        except OSError as error:
            log.error("uploads could not be purged", reason=str(error))


async def purge(registry: Registry, purging: Purging, log: Log) -> list[Upload]:
    """Remove the uploads older than `age`; the removed ones, or with `dry_run` those that would be."""
    before_ns = time.time_ns() - round(purging.age * 1e9)
    purged = []
    for upload in await walk("purging", _older(registry, before_ns, log)):
        try:
            if purging.dry_run or await upload.expire(before_ns):
                purged.append(upload)
                log.info("upload purged", repository=upload.repository, upload=upload.id, dry_run=purging.dry_run)
        except OSError as error:
            if error.errno == errno.EROFS:  # none can be
                raise
            _stays(upload, error, log)
    return purged


def _older(registry: Registry, before_ns: int, log: Log) -> Walk[list[Upload]]:
    older = []
    for upload in registry.list_uploads():
        yield
        if upload is None:
            continue
        try:
            if upload.is_older(before_ns):
                older.append(upload)
        except OSError as error:
            _stays(upload, error, log)
    return older


def _stays(upload: Upload, error: OSError, log: Log) -> None:
    # What another server left may belong to another user; those behind it are purged all the same.
    log.warning("upload cannot be purged", repository=upload.repository, upload=upload.id, reason=str(error))
