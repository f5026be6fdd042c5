"""Checks of the data directory at the start: reads are served even if writes are impossible.

A disk may be full or out of inodes, a volume may be read-only or belong to another user. Each write is then rejected
with 503 or 507. When that changes, a restart is not needed.
"""

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import structlog

from pyregistry.common.system_errors import explained
from pyregistry.config.schema import Config
from pyregistry.service.location import location_of, open_backend
from pyregistry.storage.local import volumes
from pyregistry.storage.local.abilities import Lack, lacks, visible_lacks
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.links import links_in_place_of_blobs

log = structlog.get_logger("pyregistry.storage")


def follow_group_rights(root: Path) -> None:
    """Make new files writable for the group, if the data directory is.

    Then the next server may run as another user of that group, as with Kubernetes and setgid directories.
    """
    places = [place.stat().st_mode for place in (root, root / layout.TREE) if place.is_dir()]
    if any(mode & stat.S_IWGRP for mode in places):
        os.umask(os.umask(0) & ~stat.S_IRWXG)


def try_storage(config: Config) -> None:
    """Create the data directory, and warn if it is not writable. Raises OSError if it is not readable. Blocks.

    Called once at the start, not by each worker.
    """
    local = open_backend(config, make=True).local
    if local is None:
        return
    _require_readable(local.root)
    follow_group_rights(local.root)
    with suppress(OSError):  # the readers of an unreadable part report it
        for path in links_in_place_of_blobs(local):
            event = "a symbolic link is not followed: gc and fsck skip the blobs behind it; mount it instead"
            log.warning(event, path=path)
    if config.storage.maintenance.readonly.enabled:
        return
    try:
        local.probe()
    except OSError as error:
        _warn(local.root, error)
        return
    with suppress(OSError):
        _warn_of_lacks(lacks(local))
    with suppress(OSError):  # only garbage collection needs it
        volumes.note_mounted(local)


def check_storage(config: Config) -> None:
    """Do the same checks for `check-config`, without changes. Raises OSError. Blocks."""
    directory = location_of(config).directory
    if directory is None:
        return
    root = directory.absolute()
    there = next(path for path in (root, *root.parents) if path.exists())
    obstacle = _obstacle(there)
    if there != root:
        if obstacle is not None:
            raise OSError(obstacle.errno, obstacle.strerror, str(root))
        return
    _require_readable(root)
    _warn_of_lacks(visible_lacks(root))
    if obstacle is None and (root / layout.PRIVATE).exists():
        obstacle = _obstacle(root / layout.PRIVATE)
    if obstacle is not None and not config.storage.maintenance.readonly.enabled:
        _warn(root, obstacle)


def rights(root: Path) -> dict[str, str]:
    """Return log fields that help to repair a volume without write access; empty if it is missing."""
    try:
        found = root.stat()
    except OSError:
        return {}
    mine, theirs = f"{os.geteuid()}:{os.getegid()}", f"{found.st_uid}:{found.st_gid}"
    return {"user": mine, "owner": theirs, "mode": f"{found.st_mode & 0o7777:o}"}


def _warn(root: Path, error: OSError) -> None:
    event = "the data directory cannot be written: reads are served, writes are rejected until that changes"
    log.warning(event, directory=str(root), **explained(error), **rights(root))


def _warn_of_lacks(found: Iterable[Lack]) -> None:
    for lack in found:
        log.warning(lack.event, directory=lack.directory, kind=lack.kind, reason=lack.reason)


def _require_readable(root: Path) -> None:
    """Raise OSError if a directory cannot be listed."""
    with os.scandir(root):
        pass
    for part in (layout.BLOBS, layout.REPOSITORIES):
        if (root / part).exists():
            with os.scandir(root / part):
                pass


def _obstacle(directory: Path) -> OSError | None:
    """Return the reason why a directory is not writable, as far as it is visible without a write."""
    usage = os.statvfs(directory)
    number = 0
    if usage.f_flag & os.ST_RDONLY:
        number = errno.EROFS
    elif not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        number = errno.EACCES
    elif usage.f_bavail == 0 or (usage.f_files and usage.f_favail == 0):
        number = errno.ENOSPC
    return OSError(number, os.strerror(number), str(directory)) if number else None
