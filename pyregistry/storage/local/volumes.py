"""Notes of the file systems with repositories: those of a missing volume must not count as removed.

A volume is a mount point at or below `repositories/`, whatever its device number is. A noted mount point that is not
mounted is missing. docs/decisions/0020 tells this from an operator's `rm -rf` of the last repository.
"""

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.places import mount_points
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import exists
from pyregistry.storage.seams.objects import PathNotFound
from pyregistry.storage.seams.reserved import is_reserved


class Volumes(msgspec.Struct, frozen=True):
    """File systems by their ids: that of statvfs, or else the device number."""

    own: str | None = None
    """That of `repositories/`; None if there is no such directory."""
    mounted: dict[str, str] = {}
    """Id of each mount point at or below `repositories/`, by its path below the root."""


def mounted_volumes(driver: Driver) -> Volumes | None:
    """Return the mounted volumes; None for a storage without volumes. Blocks."""
    if driver.local is None:
        return None
    root = driver.local.root
    points = [point for point in mount_points(str(root)) if f"{point}/".startswith(f"{layout.REPOSITORIES}/")]
    mounted = {point: _id_of(root / point) or "" for point in points}
    return Volumes(_id_of(root / layout.REPOSITORIES), mounted)


def note_mounted(driver: Driver, *, everything: bool = False) -> None:
    """Note the mounted volumes for later runs; raises OSError. Blocks.

    Missing volumes stay noted. While there are blobs, an empty volume is not noted: it may be the wrong one. With
    `everything` the present volumes are the right ones.
    """
    now, before = mounted_volumes(driver), _noted(driver)
    if now is None:
        return
    if not everything and _has_blobs(driver):
        if not _holds_a_repository(driver, layout.REPOSITORIES):
            return
        known = before.mounted if before is not None else {}
        full = {path: of for path, of in now.mounted.items() if _holds_a_repository(driver, StoragePath(path))}
        now = Volumes(now.own, known | full)
    if now != before:
        driver.write(layout.VOLUMES, msgspec.json.encode(now))


def missing(driver: Driver) -> str | None:
    """Return which volume seems to be missing in a tree that has blobs, if any. Blocks."""
    if not exists(driver, layout.REPOSITORIES):
        return f"there is no directory {layout.REPOSITORIES}"
    now, before = mounted_volumes(driver), _noted(driver)
    if now is None or driver.local is None:
        return None
    reason = _missing_mount(driver, now, before.mounted if before is not None else {})
    if reason is not None or _holds_a_repository(driver, layout.REPOSITORIES):
        return reason
    if before is None:
        return "there is no repository, and no server or run has noted whether there ever was one"
    # The directory was missing when that was noted: then it was made on the file system of the tree.
    if now.own == (before.own or _id_of(driver.local.root / layout.TREE)):
        return None
    return f"there is no repository, and {layout.REPOSITORIES} was on another file system"


def _missing_mount(driver: Driver, now: Volumes, known: dict[str, str]) -> str | None:
    for path in known:
        if path not in now.mounted:
            return f"{path} was a volume of its own and is not mounted"
    for path, of in now.mounted.items():
        if known.get(path) != of and not _holds_a_repository(driver, StoragePath(path)):
            return f"{path} is a new volume without a repository"
    return None


def _noted(driver: Driver) -> Volumes | None:
    with suppress(PathNotFound, msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(driver.read(layout.VOLUMES), type=Volumes)
    return None


def _id_of(path: Path) -> str | None:
    try:
        return f"{os.statvfs(path).f_fsid or path.stat().st_dev:x}"
    except OSError:
        return None


def _has_blobs(driver: Driver) -> bool:
    algorithms = (layout.child(layout.BLOBS, name) for name in driver.children(layout.BLOBS) if not is_reserved(name))
    prefixes = (
        layout.child(path, name) for path in algorithms for name in driver.children(path) if not is_reserved(name)
    )
    return any(next(driver.children(path), None) is not None for path in prefixes)


def _holds_a_repository(driver: Driver, path: StoragePath) -> bool:
    is_within = not layout.OF_A_REPOSITORY.isdisjoint(path.split("/"))
    for name in driver.children(path):
        if name == layout.MOUNTED or is_reserved(name):  # made by our first start, or by a file system
            continue
        if is_within or name in layout.OF_A_REPOSITORY:
            return True
        if not name.startswith("_") and _holds_a_repository(driver, layout.child(path, name)):
            return True
    return False
