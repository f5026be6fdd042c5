"""Real file systems for the faults that no driver of ours could fake: a full one, and one that loses its power."""

import contextlib
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.processes import missing, require, require_root

_SHUTDOWN = 0x8004587D
"""The ioctl EXT4_IOC_SHUTDOWN: from now on nothing reaches the disk."""
FLUSH_LOG = 1
"""The journal is written first, data that was not synced is lost."""
FLUSH_NOTHING = 2
"""The journal is lost as well."""


@contextlib.contextmanager
def tmpfs(directory: Path, *options: str) -> Iterator[Path]:
    """A small file system in memory, mounted at `directory`."""
    require_root()
    _mount("-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(directory))
    try:
        yield directory
    finally:
        _unmount(directory)


MEBIBYTE = 1024 * 1024
FILE_SYSTEMS: Mapping[str, tuple[str, str, int, tuple[str, ...]]] = {
    "ext4": ("mkfs.ext4", "e2fsprogs", 48, ("-q",)),
    "ext4 of whole seconds": ("mkfs.ext4", "e2fsprogs", 48, ("-q", "-I", "128")),
    "vfat": ("mkfs.vfat", "dosfstools", 48, ()),
    "xfs": ("mkfs.xfs", "xfsprogs", 320, ("-q",)),
    "btrfs": ("mkfs.btrfs", "btrfs-progs", 128, ("-q",)),
}
"""How each is made: its program, the Debian package of that, the size in MiB, and options."""


@contextlib.contextmanager
def file_system(kind: str, directory: Path) -> Iterator[Path]:
    """Mount a new file system of FILE_SYSTEMS, or "tmpfs"; a kernel that does not know it is named."""
    require_root()
    root = directory / "mounted"
    root.mkdir()
    if kind == "tmpfs":
        with tmpfs(root, "size=64m") as mounted:
            yield mounted
        return
    program, package, size, options = FILE_SYSTEMS[kind]
    image = directory / "image"
    with image.open("wb") as file:
        file.truncate(size * MEBIBYTE)
    subprocess.run([require(program, package), *options, str(image)], check=True, capture_output=True)
    known = Path("/proc/filesystems").read_text().split()
    if (name := kind.split(maxsplit=1)[0]) not in known:  # a fact about the kernel, not a program to install
        pytest.skip(f"this kernel knows no {name}")
    _mount("-t", name, "-o", "loop", str(image), str(root))
    try:
        yield root
    finally:
        _unmount(root)


def resize(directory: Path, size: str) -> None:
    """Another size for a tmpfs that is mounted."""
    _mount("-o", f"remount,size={size}", str(directory))


def remount_read_only(directory: Path) -> None:
    """As the kernel does it with a disk that fails."""
    _mount("-o", "remount,ro", str(directory))


@contextlib.contextmanager
def read_only_part(directory: Path) -> Iterator[None]:
    """A directory within a file system, as it is, but for reading only."""
    require_root()
    _mount("-o", "bind,ro", str(directory), str(directory))
    try:
        yield
    finally:
        _unmount(directory)


class Disk:
    """An ext4 file system in a file, whose power can be cut."""

    def __init__(self, directory: Path) -> None:
        require_root()
        self._image = directory / "disk.ext4"
        self.root = directory / "disk"
        self.root.mkdir()
        with self._image.open("wb") as file:
            file.truncate(48 * 1024 * 1024)
        subprocess.run([require("mkfs.ext4", "e2fsprogs"), "-q", str(self._image)], check=True, capture_output=True)

    @contextlib.contextmanager
    def powered(self) -> Iterator[Path]:
        """Mounted, its journal replayed, until the block ends."""
        _mount("-o", "loop", str(self._image), str(self.root))
        try:
            yield self.root
        finally:
            _unmount(self.root)

    def cut_power(self, flush: int) -> None:
        """What is not on the disk by now never will be."""
        handle = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", flush))
        except OSError as error:
            missing(f"this kernel cannot shut a file system down ({error})")
        finally:
            os.close(handle)


def _mount(*arguments: str) -> None:
    result = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    if result.returncode:
        missing(f"mount {' '.join(arguments)} does not work here ({result.stderr.strip()})")


def _unmount(directory: Path) -> None:
    subprocess.run(["umount", str(directory)], check=True, capture_output=True)
