"""The file systems below the root: each has a directory of ours, because a rename cannot leave its file system.

Nearly always there is one, and `.pyregistry` is that directory. Where others are mounted, at `docker` or at
`repositories/team`, temporary files and the trash for what is on them are in `_pyregistry` at the top of each.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pyregistry.storage import layout
from pyregistry.storage.layout import StoragePath

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(rb"\\([0-7]{3})")
_PRIVATE = f"{layout.PRIVATE}/"
_POINT = 4
"""The column of the mount point: proc_pid_mountinfo(5)."""


class Places:
    """Which directory of ours is on the file system of a path."""

    def __init__(self, root: str) -> None:
        self._root = root
        self.mounts: tuple[StoragePath, ...] = ()
        """The mount points below the root that hold a part of the tree, the deepest first."""
        self._private: Mapping[StoragePath, StoragePath] = {}
        self.look_again()

    def look_again(self) -> bool:
        """Read the mount points again; return True if they changed. Blocks."""
        before, points = self._private, mount_points(self._root)
        self.mounts, self._private = layout.mounts_of_the_tree(points), layout.private_directories(points)
        home = self.of(layout.BLOBS)
        self._home = None if home == layout.PRIVATE else home
        return self._private != before

    def real(self, path: StoragePath) -> StoragePath:
        """Return where a path is: what is in `.pyregistry` is with the blobs, and others may see it there.

        Of two containers with one volume at `docker` each has a root of its own, and they must share locks and marks.
        """
        if self._home is None or not path.startswith(_PRIVATE):
            return path
        return StoragePath(f"{self._home}/{path.removeprefix(_PRIVATE)}")

    def of(self, path: str) -> StoragePath:
        """Return the directory of ours on the file system of `path`."""
        for mount in self.mounts:  # mostly none
            if path.startswith(f"{mount}/"):
                return self._private[mount]
        return self._private[layout.ROOT]

    def all(self) -> tuple[StoragePath, ...]:
        """Return all of them, that of the root first."""
        return tuple(self._private.values())

    def mount_of(self, path: str) -> StoragePath:
        """Return the mount point that holds `path`; ROOT for the root."""
        return next((mount for mount in self.mounts if f"{path}/".startswith(f"{mount}/")), layout.ROOT)


def mount_points(root: str) -> list[str]:
    """Return the mount points below `root`, relative to it; none where the system does not say.

    The number of the device would not do: two volumes of one disk have the same, and no rename leads from one to the
    other.
    """
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:
        return []
    points = {os.fsdecode(_ESCAPED.sub(_unescape, line.split(b" ")[_POINT])) for line in lines}
    return [point.removeprefix(f"{root}/") for point in points if point.startswith(f"{root}/")]


def _unescape(match: "re.Match[bytes]") -> bytes:
    return bytes([int(match[1], 8)])
