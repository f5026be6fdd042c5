"""Objects: bytes at paths, in a directory, a dict or a bucket. `tests/storage/contract_objects.py` tests each.

Nothing here needs a file system; storage/local/driver.py has the abilities of a directory of this machine.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.sources import ContentId, PathNotFound, Source

__all__ = ["AlreadyThere", "Entry", "Objects", "PathBusy", "PathNotFound", "Source", "Stat", "Version"]

Version = tuple[int | str, ...]
"""Opaque, compared for equality only: it changes with each write, and in a directory also with each touch.

Consists of numbers of 64 bits and strings, so that a process can send it to another one."""


class PathBusy(Exception):
    """Another request, or another process, has locked the file or the name."""


class AlreadyThere(Exception):
    """An object exists at this path."""


class Stat(NamedTuple):
    """The object at a path; a directory is not a file, nor is a symbolic link that does not lead to one.

    `size` in bytes; `modified_ns` in nanoseconds since the epoch, for display and age. For a symbolic link to a file,
    the size and `content_id` are the file's. The time is the link's own, which a touch and a push change. The version
    covers both.
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

    Any error other than a missing object is raised as its OSError.
    """

    def read(self, path: StoragePath, limit: int | None = None, *, begin: int = 0) -> bytes:
        """Return the bytes from `begin` to the end, or the first `limit` of them; raises PathNotFound.

        Symbolic links are followed.
        """

    def write(
        self, path: StoragePath, data: bytes, *, durable: bool = True, private: bool = False, if_absent: bool = False
    ) -> None:
        """Replace the object with `data` atomically. No other user can read a `private` one.

        When this returns, the object and each directory made for it survive a power cut, unless `durable` is False.
        With `if_absent` raises AlreadyThere if an object exists; of several concurrent writers one succeeds.
        """

    def stat(self, path: StoragePath) -> Stat:
        """Return the stat of a path; raises PathNotFound. A broken symbolic link exists, and is not a file."""

    def is_racy(self, stat: Stat) -> bool:
        """Return True while a change could give the object the version of `stat` again."""

    def children(self, path: StoragePath, after: str | None = None, *, strict: bool = False) -> Iterator[str]:
        """Yield the names in a directory in byte order, those after `after`; nothing if there is no directory.

        Symbolic links are left out: they could lead outside the root. With `strict` one of them is an OSError, for
        callers that must see all content.
        """

    def scan(self, path: StoragePath, leaf: str, *, strict: bool = False) -> Iterator[tuple[str, Stat | None]]:
        """Yield the names in a directory as `children` does, each with the stat of `leaf` in it."""

    def delete(self, path: StoragePath, *, durable: bool = True) -> None:
        """Remove an object, or a directory with everything below it, in one step; raises PathNotFound.

        When this returns, the removal survives a power cut, unless `durable` is False.
        """

    def delete_many(self, paths: Iterable[StoragePath]) -> None:
        """Remove these objects, durably; missing ones are ignored. Raises OSError of the first failure.

        Cheaper than single deletions, but not atomic: a reader may see only some of them removed.
        """

    def source(self, path: StoragePath) -> Source:
        """Return the source of an object's bytes; raises PathNotFound."""

    # A storage without directories returns constants here.

    def make_directory(self, path: StoragePath, *, durable: bool = True) -> None:
        """Make a directory and its missing parents, if the storage has directories."""

    def entries(self, path: StoragePath) -> Iterator[Entry]:
        """Yield all that is in a directory, in byte order, with what `children` leaves out; raises OSError."""

    def symbolic_links(self, path: StoragePath) -> list[str]:
        """Return the names that `children` leaves out."""

    def available_bytes(self, path: StoragePath = layout.REPOSITORIES) -> int:
        """Return the bytes that an upload at `path` may still take; a reserve stays free for removals on a full disk.

        `sys.maxsize` without a limit.
        """

    def private_directories(self) -> Sequence[StoragePath]:
        """Return the private directories: that of the root first, then one on each file system mounted below it."""
