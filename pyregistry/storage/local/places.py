"""The file systems below the root: each has a private directory, because a rename cannot leave its file system.

Nearly always there is one file system, and `.pyregistry` is that directory. Others may be mounted, at `docker` or at
`repositories/team`. Their temporary files and trash are in `_pyregistry` at the top of each.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyregistry.oci.errors import Unavailable
from pyregistry.storage.local.file_systems import file_systems
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.threads.wait_budget import RETRY

_PRIVATE = f"{layout.PRIVATE}/"


@dataclass(frozen=True, slots=True)
class Mounts:
    """File systems that were mounted at one moment."""

    points: tuple[StoragePath, ...]
    """Mount points below the root that hold a part of the tree, the deepest first."""
    private: Mapping[StoragePath, StoragePath]
    """The private directory on each, by its mount point; that of the root first."""

    home: StoragePath | None
    """The one on the file system of the blobs: it has the locks, marks and notes. None for `.pyregistry`."""

    def holding(self, path: str) -> StoragePath:
        """Return the mount point that holds `path`; ROOT for the root."""
        return _holding(self.points, path)


class Places:
    """Private directories by the file system of a path. Safe for use from several threads."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._mutex = threading.Lock()
        self.seen = _read_mounts(root)
        """The places that were read last; another object after each change."""

    @property
    def mounts(self) -> tuple[StoragePath, ...]:
        """The mount points below the root that hold a part of the tree, the deepest first."""
        return self.seen.points

    def reread(self) -> Mounts:
        """Read the mount points again; return the same object while they have not changed. Blocks."""
        with self._mutex:
            if (now := _read_mounts(self._root)) != self.seen:
                self.seen = now
            return self.seen

    def require_home(self, home: StoragePath | None) -> None:
        """Raise Unavailable if the locks are no longer in this directory."""
        if self.seen.home != home:
            raise Unavailable("another file system was mounted in the data directory", headers=RETRY)

    def real(self, path: StoragePath) -> StoragePath:
        """Return the real path: what belongs into `.pyregistry` is on the file system of the blobs.

        Two containers with one volume at `docker` have different roots, but must share locks and marks.
        """
        home = self.seen.home
        if home is None or not path.startswith(_PRIVATE):
            return path
        return StoragePath(f"{home}/{path.removeprefix(_PRIVATE)}")

    def of(self, path: str) -> StoragePath:
        """Return the private directory on the file system of `path`."""
        seen = self.seen
        for point in seen.points:  # mostly none
            if path.startswith(f"{point}/"):
                return seen.private[point]
        return seen.private[layout.ROOT]

    def all(self) -> tuple[StoragePath, ...]:
        """Return all private directories, that of the root first."""
        return tuple(self.seen.private.values())

    def mount_of(self, path: str) -> StoragePath:
        """Return the mount point that holds `path`; ROOT for the root."""
        return self.seen.holding(path)


def _read_mounts(root: str) -> Mounts:
    found = mount_points(root)
    points, private = layout.mounts_of_the_tree(found), layout.private_directories(found)
    home = private[_holding(points, layout.BLOBS)]
    return Mounts(points, private, None if home == layout.PRIVATE else home)


def _holding(points: Sequence[StoragePath], path: str) -> StoragePath:
    return next((point for point in points if f"{path}/".startswith(f"{point}/")), layout.ROOT)


def mount_points(root: str) -> list[str]:
    """Return the mount points below `root`, relative to it; none if the system does not say.

    Device numbers are not enough: two volumes of one disk have the same number, but no rename between them works.
    """
    return [point.removeprefix(f"{root}/") for point in file_systems(Path(root)) if point.startswith(f"{root}/")]
