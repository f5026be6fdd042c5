"""The kinds of file systems that a data directory is on."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")


def file_systems(root: Path) -> Mapping[str, str]:
    """Return the kind of the file system of `root` and of each one mounted below it, by where it is mounted.

    Empty where the system does not say. Blocks.
    """
    with suppress(OSError):
        return parse_mounts(_MOUNTS.read_text(errors="surrogateescape"), PurePosixPath(root))
    return {}


def parse_mounts(text: str, root: PurePosixPath) -> Mapping[str, str]:
    """Do the same for a text in the form of `/proc/self/mountinfo`, see proc(5); `root` is without symbolic links."""
    above: tuple[str, str] | None = None
    below: dict[str, str] = {}
    for place, kind in _mounts(text):  # what is mounted later hides what was there
        path = PurePosixPath(place)
        if root.is_relative_to(path):
            below = {} if path == root else below
            if above is None or len(place) >= len(above[0]):
                above = place, kind
        elif path.is_relative_to(root):
            below = {other: its for other, its in below.items() if not PurePosixPath(other).is_relative_to(path)}
            below[place] = kind
    return {**({above[0]: above[1]} if above is not None else {}), **below}


def _mounts(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")  # optional fields stand in between
        fields = before.split(" ")
        if separator and len(fields) > 4:
            yield _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4]), after.split(" ", 1)[0]
