"""Listings of directories, with the findings about foreign entries."""

import errno
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pyregistry.common.system_errors import user_name
from pyregistry.fsck.findings import Finding, Kind
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Entry, Objects, PathNotFound
from pyregistry.storage.seams.reserved import LOST_AND_FOUND, is_reserved

FORBIDDING = frozenset({errno.EACCES, errno.EPERM})
"""Errors that tell of this user's rights and not of the disk."""
_TEMPORARY = re.compile(r"(?:data|link|startedat|descriptor)\..+\.tmp|\.try-[0-9a-f]{32}")
"""Names of temporary files: of the CNCF registry 3.1, next to the file that they become, and of `/readyz`."""


@dataclass(slots=True)
class _Obstacle:
    count: int
    first: StoragePath


class Listing:
    """Directories with their entries; it collects what cannot be read or used by the server."""

    def __init__(self, objects: Objects, before_ns: int) -> None:
        self.objects = objects
        self._before_ns = before_ns
        self._obstacles: dict[str, _Obstacle] = {}

    def entries(self, path: StoragePath) -> Iterator[Entry | Finding]:
        """Yield the entries of a directory, or the finding that it cannot be read."""
        try:
            for entry in self.objects.entries(path):
                if entry.name == LOST_AND_FOUND and entry.is_directory:
                    continue
                if entry.obstacle is not None and not is_reserved(entry.name):
                    self._remember(entry.obstacle, layout.child(path, entry.name))
                yield entry
        except OSError as error:
            yield unreadable(path, error)

    def names(self, path: StoragePath, is_ours: Callable[[Entry], bool], ours: list[Entry]) -> Iterator[Finding]:
        """Fill `ours` with the entries that belong there; yield findings for the others."""
        for entry in self.entries(path):
            if isinstance(entry, Finding):
                yield entry
            elif is_ours(entry):
                ours.append(entry)
            elif not (entry.is_directory and entry.name == layout.MOUNTED):  # at the top of a file system
                yield from self.stray(path, entry)

    def unexpected(self, path: StoragePath, expected: frozenset[str]) -> Iterator[Finding]:
        """Yield findings for the entries of a directory that have other names."""
        yield from self.names(path, lambda entry: entry.name in expected, [])

    def stray(self, directory: StoragePath, entry: Entry) -> Iterator[Finding]:
        """Yield the finding for a file that is not the registry's, or for a temporary one that is old."""
        path = layout.child(directory, entry.name)
        if entry.stat.is_file and _TEMPORARY.fullmatch(entry.name):
            if self.is_old(entry):
                yield leftover(self.objects, Kind.TEMPORARY, path, "a temporary file of a write that was cut off")
            return
        sentence = "not a file of a registry; nothing of it is looked at"
        if not entry.is_directory and entry.name in self.objects.symbolic_links(directory):
            sentence = "a symbolic link, which is not followed: nothing behind it is looked at; mount it if needed"
        yield Finding(Kind.FOREIGN, path, sentence)

    def is_old(self, entry: Entry) -> bool:
        """Return True if no running request can still be writing it."""
        return entry.stat.modified_ns < self._before_ns

    def not_usable(self) -> Iterator[Finding]:
        """Yield what the server cannot use, one finding for each reason."""
        for reason, obstacle in self._obstacles.items():
            more = f", as do {obstacle.count - 1} more" if obstacle.count > 1 else ""
            sentence = f"{reason}{more}: the server cannot touch or replace it; see chown and chmod"
            yield Finding(Kind.NOT_USABLE, obstacle.first, sentence)

    def _remember(self, reason: str, path: StoragePath) -> None:
        self._obstacles.setdefault(reason, _Obstacle(0, path)).count += 1


def leftover(objects: Objects, kind: Kind, path: StoragePath, sentence: str) -> Finding:
    """Return a finding for something that can be removed while it is not written to."""
    try:
        mtime_ns = objects.stat(path).modified_ns
    except PathNotFound:
        mtime_ns = 0

    def recheck() -> Finding | None:
        try:
            is_same = objects.stat(path).modified_ns == mtime_ns
        except PathNotFound:
            return None
        return Finding(kind, path, sentence, recheck=recheck) if is_same else None

    return Finding(kind, path, sentence, recheck=recheck)


def unreadable(path: StoragePath, error: OSError) -> Finding:
    """Return the finding for a path whose content this run does not know."""
    if error.errno in FORBIDDING:
        return Finding(Kind.NO_PERMISSION, path, no_permission())
    return Finding(Kind.UNREADABLE, path, f"it cannot be read: {error.strerror}")


def no_permission() -> str:
    """Return the sentence for what this user may not read."""
    return f"cannot be read as user {user_name(os.geteuid())}: permission denied"
