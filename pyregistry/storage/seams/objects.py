"""Objects: bytes at paths, in a directory, a dict or a bucket. `tests/storage/contract_objects.py` holds each to it.

Nothing here needs a file system; storage/local/driver.py has what only a directory of this machine can do.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.sources import ContentId, PathNotFound, Source

__all__ = ["AlreadyThere", "Entry", "Objects", "PathBusy", "PathNotFound", "Source", "Stat", "Version"]

Version = tuple[int | str, ...]
"""Opaque, compared for equality only: another one after each write, and in a directory also after each touch.

Numbers of 64 bits and strings, so that a process can send it to another one."""


class PathBusy(Exception):
    """Another request, or another process, holds the file or the name."""


class AlreadyThere(Exception):
    """Something is at this path already."""


class Stat(NamedTuple):
    """The object at a path; a directory is not a file, nor is a symbolic link that leads to none.

    `size` in bytes; `modified_ns` in nanoseconds since the epoch, for display and age. Of a symbolic link to a file the
    size and `content_id` are the file's, and the time is the link's own: that one a touch and a push change. The
    version tells of both.
    """

    size: int
    modified_ns: int
    version: Version
    is_file: bool
    content_id: ContentId


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a directory; neither a file nor a directory is a symbolic link or something stranger.

    A symbolic link to a file is a file, as for the registry; one to a directory is neither.
    """

    name: str
    stat: Stat
    is_directory: bool
    obstacle: str | None = None
    """The reason why the owner of the data directory cannot use it; None if nothing hinders."""


class Objects(Protocol):
    """Storage at paths below one root. Blocking; safe for use from several threads.

    An error other than "not there" is raised as the OSError that it is.
    """

    def read(self, path: StoragePath, limit: int | None = None, *, begin: int = 0) -> bytes:
        """Return all bytes from `begin` on, or the first `limit` of them; raises PathNotFound.

        Symbolic links are followed.
        """

    def write(
        self, path: StoragePath, data: bytes, *, durable: bool = True, private: bool = False, if_absent: bool = False
    ) -> None:
        """Replace the object with `data`: no reader sees a part of it, and if it is `private`, no other user any.

        When this returns, it survives a power cut with every directory made for it, unless `durable` is False. With
        `if_absent` raises AlreadyThere where an object is; of several writers at a time one succeeds.
        """

    def stat(self, path: StoragePath) -> Stat:
        """Look at a path; raises PathNotFound. A symbolic link that leads nowhere is there, and is no file."""

    def is_settled(self, stat: Stat) -> bool:
        """Return True if each change from now on gives the object another version than this one."""

    def children(self, path: StoragePath, after: str | None = None, *, strict: bool = False) -> Iterator[str]:
        """Yield the names in a directory in byte order, those after `after`; nothing where there is no directory.

        Symbolic links are left out: they could lead outside the root. With `strict` one of them is an OSError: a caller
        that must see all that a path can lead to cannot go on.
        """

    def scan(self, path: StoragePath, leaf: str, *, strict: bool = False) -> Iterator[tuple[str, Stat | None]]:
        """Yield the names in a directory as `children` does, each with the stat of what is called `leaf` in it."""

    def delete(self, path: StoragePath, *, durable: bool = True) -> None:
        """Remove an object, or a directory with everything below, at once; raises PathNotFound.

        When this returns, it stays removed after a power cut, unless `durable` is False.
        """

    def delete_many(self, paths: Iterable[StoragePath]) -> None:
        """Remove these objects, durably; those that are not there are passed over. Raises OSError of the first failure.

        Cheaper than as many deletions, and not at once: a reader may see some of them gone and others not.
        """

    def source(self, path: StoragePath) -> Source:
        """Return how to send the bytes of an object; raises PathNotFound."""

    # What a storage without directories answers with a constant.

    def make_directory(self, path: StoragePath, *, durable: bool = True) -> None:
        """Make a directory and those above it, where missing, if the storage has directories."""

    def entries(self, path: StoragePath) -> Iterator[Entry]:
        """Yield all that is in a directory, in byte order, with what `children` leaves out; raises OSError."""

    def symbolic_links(self, path: StoragePath) -> list[str]:
        """Return the names that `children` leaves out."""

    def room(self, path: StoragePath = layout.REPOSITORIES) -> int:
        """Bytes that an upload at `path` may still take; a reserve is left, so that a full disk can be tidied up.

        `sys.maxsize` where nothing bounds it.
        """

    def places(self) -> Sequence[StoragePath]:
        """Return the directories of our own: that of the root first, then one on each other file system below it."""
