"""The file systems that are mounted where a data directory is: their mount points and kinds."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")


class _Mount(NamedTuple):
    """A line of mountinfo, see proc_pid_mountinfo(5)."""

    number: str
    above: str
    """The number of the mount that this one is mounted on."""
    point: PurePosixPath
    kind: str


def file_systems(root: Path) -> Mapping[str, str]:
    """Return the kind of each file system at and below `root`, by its mount point.

    Empty if the system does not say. Blocks.
    """
    with suppress(OSError):
        return parse_mounts(os.fsdecode(_MOUNTS.read_bytes()), PurePosixPath(root))
    return {}


def parse_mounts(text: str, root: PurePosixPath) -> Mapping[str, str]:
    """Do the same for a text in the form of `/proc/self/mountinfo`, see proc(5); `root` has no symbolic links.

    A mount that another one hides is left out: each path is resolved as the kernel does it.
    """
    mounts = {
        mount.number: mount
        for mount in _mounts(text)
        if root.is_relative_to(mount.point) or mount.point.is_relative_to(root)
    }
    inside: dict[str, list[_Mount]] = defaultdict(list)
    for mount in mounts.values():
        inside[mount.above if mount.above in mounts and mount.above != mount.number else ""].append(mount)
    points = [mount.point for mount in mounts.values() if mount.point.is_relative_to(root)]
    found = (_holder(path, inside) for path in (root, *points))
    return {str(mount.point): mount.kind for mount in found if mount is not None}


def _holder(path: PurePosixPath, inside: Mapping[str, Sequence[_Mount]]) -> _Mount | None:
    """Return the mount that a path is in; `inside` has the mounts on each mount by its number, "" for the first."""
    holder, number = None, ""
    while on_the_way := [mount for mount in inside.get(number, ()) if path.is_relative_to(mount.point)]:
        holder = min(on_the_way, key=lambda mount: len(mount.point.parts))
        number = holder.number
    return holder


def _mounts(text: str) -> Iterator[_Mount]:
    for line in text.split("\n"):  # not `splitlines`: the kernel does not escape other line ends in names
        before, separator, after = line.partition(" - ")  # optional fields come before it
        fields = before.split(" ")
        if separator and len(fields) > 4:
            point = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4])
            yield _Mount(fields[0], fields[1], PurePosixPath(point), after.split(" ", 1)[0])
