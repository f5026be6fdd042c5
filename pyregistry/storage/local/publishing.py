"""Publishes and removes files by one rename each, on any file system below the root."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from pyregistry.common.files import sync_directory
from pyregistry.storage.local.copying import copy_durably
from pyregistry.storage.local.directories import Directories, RemakeLimit, parent_of
from pyregistry.storage.local.driver import NotDurable
from pyregistry.storage.local.places import Places
from pyregistry.storage.local.syscalls import CREATE, absent_is_not_found, fill, new_name, remove_tree
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath

T = TypeVar("T")
Publish = Callable[[str, str], None]
"""Call that publishes a file: os.rename, or os.link where nothing may be replaced."""

_IN_PLACE = (errno.EXDEV, errno.ENOSPC, errno.EDQUOT)
"""Errors of a rename to the trash after which a directory is removed in place.

EXDEV means a directory in the lower layer of an overlay file system. On a full disk, the caller wants to free space.
"""


class Publisher:
    """Renames below one root. Paths are strings, relative to the root unless they are called absolute."""

    def __init__(self, root: str, directories: Directories) -> None:
        self._prefix = f"{root}/"
        self._directories = directories
        self.places = Places(root)

    def write(self, path: StoragePath, data: bytes, *, durable: bool, mode: int, if_absent: bool = False) -> None:
        """Do as Objects.write; with `if_absent` raise OSError also if the file system has no hard links."""
        publish = os.link if if_absent else os.rename
        self._on_its_file_system(lambda: self._write(self.places.real(path), data, publish, durable=durable, mode=mode))

    def move(self, source: StoragePath, target: StoragePath) -> None:
        """Do as Driver.move."""
        real = self.places.real
        self._on_its_file_system(lambda: self._move(real(source), real(target)))

    @contextlib.contextmanager
    def staged(self, source: StoragePath, target: StoragePath) -> Iterator[StoragePath]:
        """Do as Driver.staged."""
        if not self.places.mounts or self.places.mount_of(source) == self.places.mount_of(target):
            yield source
            return
        copy = layout.child(layout.temporaries(self.places.of(target)), new_name())
        try:
            handle = self.create(self._prefix + copy, 0o666, CREATE)
            with absent_is_not_found():  # an operator's `rm` of the upload
                copy_durably(self._prefix + source, handle)
            yield copy
        finally:
            with contextlib.suppress(FileNotFoundError):  # moved
                os.unlink(self._prefix + copy)

    def to_trash(self, path: StoragePath) -> str | None:
        """Remove a directory in one step; return its absolute path in the trash, None if nothing is left of it.

        Raises PathNotFound. Without a rename it is removed file by file, in the order of the names: of a tag, the
        current digest goes before the earlier ones.
        """
        real = self.places.real
        with absent_is_not_found():
            try:
                return self._on_its_file_system(lambda: self._rename_to_trash(real(path)))
            except OSError as error:
                if error.errno not in _IN_PLACE:
                    raise
            remove_tree(self._prefix + real(path))
            return None

    def create(self, absolute: str, mode: int, flags: int) -> int:
        """Open a file of ours; make its directory if it is missing."""
        limit = RemakeLimit()
        while True:
            try:
                return os.open(absolute, flags, mode)
            except FileNotFoundError:  # new, or an operator's `rm -rf`
                if limit.is_over():
                    raise
                self._directories.make(parent_of(absolute), durable=False)

    def _on_its_file_system(self, work: Callable[[], T]) -> T:
        """Do `work`, and once more if a file system was mounted since this process read the mounts.

        Raises Unavailable if the locks moved: a lock of this thread then excludes no other process.
        """
        seen = self.places.seen  # before the work: if two threads fail at once, each must notice the change
        try:
            return work()
        except OSError as error:
            if error.errno != errno.EXDEV or self.places.reread() is seen:
                raise
            self.places.require_home(seen.home)
            return work()

    def _write(self, path: StoragePath, data: bytes, publish: Publish, *, durable: bool, mode: int) -> None:
        temporary = f"{self._prefix}{layout.temporaries(self.places.of(path))}/{new_name()}"
        try:
            fill(self.create(temporary, mode, CREATE), data, durable=durable)
            self._rename(temporary, self._prefix + path, publish, durable=durable)
            if publish is os.link:
                os.unlink(temporary)
        except BaseException as error:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            if isinstance(error, OSError) and error.filename is None:  # an error of a descriptor has no path
                error.filename = self._prefix + path
            raise

    def _move(self, source: StoragePath, target: StoragePath) -> None:
        with absent_is_not_found(), self.staged(source, target) as staged:
            self._rename(self._prefix + staged, self._prefix + target, os.rename, durable=True)
            if staged != source:
                os.unlink(self._prefix + source)

    def _rename_to_trash(self, path: StoragePath) -> str | None:
        place = self.places.of(path)
        source, trashed = self._prefix + path, f"{self._prefix}{layout.trash(place)}/{new_name()}"
        if layout.without_directories(place) and os.path.isdir(source):
            with os.scandir(source) as entries:
                kinds = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
            if layout.DATA in kinds:
                source = f"{source}/{layout.DATA}"
            elif any(kinds.values()):  # a deeper entry may have that name
                remove_tree(source)
                return None
        try:
            os.rename(source, trashed)
        except FileNotFoundError:  # perhaps it is the trash that is missing
            self._directories.make(parent_of(trashed), durable=False)
            os.rename(source, trashed)
        if source != self._prefix + path:
            with contextlib.suppress(OSError):  # another file was put into it
                os.rmdir(self._prefix + path)
        return trashed

    def _rename(self, source: str, target: str, publish: Publish, *, durable: bool) -> None:
        limit = RemakeLimit()
        make = durable  # a directory that need not be synced mostly exists
        while True:
            try:
                if make:
                    self._directories.make(parent_of(target), durable=durable)
                if durable:
                    self._rename_durably(source, target, publish)
                else:
                    publish(source, target)
                return
            except FileNotFoundError as error:  # an operator's `rm -rf` of the repository, or the source is gone
                if not os.path.exists(source):
                    raise
                if limit.is_over():
                    raise OSError(errno.EBUSY, "the directory is removed again and again", target) from error
                make = True

    def _rename_durably(self, source: str, target: str, publish: Publish) -> None:
        # Only now, with all directories synced: another writer may have added a file meanwhile.
        inode = None if _exists(target) else os.lstat(source).st_ino
        publish(source, target)
        try:
            sync_directory(parent_of(target))
        except FileNotFoundError:  # an operator's `rm -rf` removed the directory and the file
            raise
        except OSError as error:
            # A visible name counts as durable: after a HEAD a client does not push again. A file that was there before
            # is as complete as this one, and its name is on the disk.
            if inode is not None:
                with contextlib.suppress(OSError):
                    _take_back(source, target, inode, linked=publish is os.link)
            raise NotDurable(error.errno, error.strerror, target) from error


def _take_back(source: str, target: str, inode: int, *, linked: bool) -> None:
    """Take the new name back if it is still this inode. A renamed file may be the only copy of the bytes."""
    if os.lstat(target).st_ino != inode:
        return
    try:
        if linked:  # a rename to its other name would do nothing
            os.unlink(target)
        else:
            os.rename(target, source)
    except FileNotFoundError:  # an operator's `rm -rf` removed the source's directory
        os.unlink(target)


def _exists(path: str) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True
