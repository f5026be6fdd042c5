"""Abilities that a file system lacks, found by trying. The registry works without them, and warns of the cost.

docs/operations.md has the table of file systems. Locks (flock) are not among these: without them nothing is written.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pyregistry.common.files import fsync_directory
from pyregistry.storage.local.driver import LocalMaintenance
from pyregistry.storage.local.file_systems import file_systems
from pyregistry.storage.local.syscalls import new_name
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import PathNotFound

CANNOT_SYNC = "the file system cannot sync directories: after a power cut a push that was acknowledged may be missing"
CANNOT_SET_TIMES = "the file system cannot set the times of files: pushes and garbage collections write more instead"
_TRIED_NS = 946_684_801 * 10**9
"""2000-01-01T00:00:01Z, in nanoseconds: even, so that a file system of two seconds keeps 2000-01-01T00:00:00Z."""
_COARSE_NS = 2 * 10**9
"""Nanoseconds by which FAT rounds times."""


class Lack(NamedTuple):
    """One thing that one file system cannot do."""

    event: str
    directory: str
    kind: str
    """Such as `cifs` or `fuse.rclone`; empty where the system does not say."""
    reason: str
    """The system's sentence."""


def lacks(driver: LocalMaintenance) -> Iterator[Lack]:
    """Yield the abilities that each file system of the data directory lacks. Blocks.

    It writes a file into the directory of temporary files of each, and removes it. Raises OSError if it cannot.
    """
    kinds = file_systems(driver.root)
    for place in driver.private_directories():
        directory = f"{driver.root}/{layout.temporaries(place)}"
        kind = _kind_of(directory, kinds)
        for event, reason in ((CANNOT_SYNC, _sync(directory)), (CANNOT_SET_TIMES, _set_times(driver, place))):
            if reason is not None:
                yield Lack(event, directory, kind, reason)


def visible_lacks(root: Path) -> Iterator[Lack]:
    """Yield what can be found out of `root`, an existing directory, without writing: sync of directories. Blocks."""
    reason = _sync(str(root))
    if reason is not None:
        yield Lack(CANNOT_SYNC, str(root), _kind_of(str(root), file_systems(root.resolve())), reason)


def _kind_of(directory: str, kinds: Mapping[str, str]) -> str:
    holding = [point for point in kinds if f"{directory}/".startswith(f"{point.rstrip('/')}/")]
    return kinds[max(holding, key=len)] if holding else ""


def _sync(directory: str) -> str | None:
    try:
        fsync_directory(directory)
    except OSError as error:
        return error.strerror
    return None


def _set_times(driver: LocalMaintenance, place: StoragePath) -> str | None:
    path = layout.child(layout.temporaries(place), f"probe-{new_name()}")
    driver.write(path, b"", durable=False)
    try:
        driver.set_mtime(path, _TRIED_NS)
        seen_ns = driver.stat(path).modified_ns
    except PathNotFound:
        return None  # an operator's `rm`; the server need not wait for another try
    except OSError as error:
        return error.strerror or os.strerror(error.errno or 0)
    finally:
        with suppress(PathNotFound):
            driver.delete(path, durable=False)
    return None if abs(seen_ns - _TRIED_NS) <= _COARSE_NS else "the time that was set is not the one that is read"
