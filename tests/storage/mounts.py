"""Real file systems for the faults that no driver of ours could fake: a full one, and one that loses its power."""

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.processes import missing, require, require_root, wait_until

_SHUTDOWN = 0x8004587D
"""The ioctl EXT4_IOC_SHUTDOWN: from now on nothing reaches the disk."""
_DEVICE, _SPARE = 48 * 1024 * 1024, 16 * 1024 * 1024
_PAGE = 4096
"""Bytes of a block of RefusingDisk, and of a page of the tmpfs beneath."""
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
"""Properties of each kind: its program, the Debian package of that, the size in MiB, and options."""


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


@contextlib.contextmanager
def bound(source: Path, directory: Path) -> Iterator[Path]:
    """A directory of the same file system, mounted at `directory`: another volume of one disk."""
    require_root()
    _mount("--bind", str(source), str(directory))
    try:
        yield directory
    finally:
        _unmount(directory)


@contextlib.contextmanager
def overlay(lower: Path, directory: Path, scratch: Path) -> Iterator[Path]:
    """The view of a container without a volume: `lower` is its image's, changes are kept in `scratch`."""
    require_root()
    for name in ("upper", "work"):
        (scratch / name).mkdir()
    layers = f"lowerdir={lower},upperdir={scratch}/upper,workdir={scratch}/work,redirect_dir=off"
    _mount("-t", "overlay", "-o", layers, "overlay", str(directory))
    try:
        yield directory
    finally:
        _unmount(directory)


@contextlib.contextmanager
def network(directory: Path, kind: str = "sshfs") -> Iterator[None]:
    """A file system that says of itself that it is one between machines."""
    require_root()
    mount = [require("bindfs", "bindfs"), "-o", f"subtype={kind}", str(directory), str(directory)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield
    finally:
        _unmount(directory)


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
        """Data that are not on the disk at this moment never will be."""
        handle = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", flush))
        except OSError as error:
            missing(f"this kernel cannot shut a file system down ({error})")
        finally:
            os.close(handle)


class RefusingDisk:
    """An ext4 file system on a device that, when told to, stores nothing where it has not stored anything before.

    The device is a file on a small tmpfs. The journal and the tables of inodes are allocated in it, so that the file
    system stays well and only new data is refused: at the write-back, when the writer has long gone on.
    """

    def __init__(self, directory: Path) -> None:
        require_root()
        self.root = directory / "disk"
        self.root.mkdir()
        self._device = directory / "device"
        self._device.mkdir()
        self._image, self._ballast = self._device / "ext4", self._device / "ballast"

    @contextlib.contextmanager
    def attached(self) -> Iterator[Path]:
        """Made, mounted and gone again at the end of the block."""
        with tmpfs(self._device, f"size={_DEVICE + _SPARE}"):
            self._image.write_bytes(b"")
            os.truncate(self._image, _DEVICE)
            make = [require("mkfs.ext4", "e2fsprogs"), "-q", "-b", str(_PAGE), str(self._image)]
            subprocess.run(make, check=True, capture_output=True)
            with self._image.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, _DEVICE)
            self._mount()
            try:
                yield self.root
            finally:
                _unmount(self.root)

    def refuse(self) -> None:
        """From now on what is written is lost, and a sync says so."""
        self._ballast.unlink(missing_ok=True)
        subprocess.run([require("fstrim", "util-linux"), str(self.root)], check=True, capture_output=True)
        with self._ballast.open("wb") as file:
            while left := os.statvfs(self._device).f_bavail:
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, left * _PAGE)
                except OSError as error:
                    if error.errno != errno.ENOSPC:  # which it is if the kernel wrote something meanwhile
                        raise

    def accept(self) -> None:
        """Store everything again."""
        self._ballast.unlink()

    def write_back(self, path: str) -> None:
        """Let the kernel store a file by itself, as it does after a while; a later `fsync` reports no error."""
        handle = os.open(self.root / path, os.O_RDONLY)
        try:
            ctypes.CDLL(None).sync_file_range(handle, ctypes.c_int64(0), ctypes.c_int64(0), 7)
        finally:
            os.close(handle)

    def mount_again(self) -> None:
        """Forget what only the memory of the kernel holds."""
        _unmount(self.root)
        self._mount()

    def _mount(self) -> None:
        _mount("-o", "loop", str(self._image), str(self.root))
        # A loop device reports a write that was stored in part as one that was stored. So each write is of one page,
        # which its file on a tmpfs has or has not.
        device = self.root.stat().st_dev
        limit = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/queue/max_sectors_kb")
        try:
            limit.write_text(str(_PAGE // 1024))
        except OSError as error:
            missing(f"the size of a loop device's writes cannot be set here ({error})")


def _mount(*arguments: str) -> None:
    result = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    if result.returncode:
        missing(f"mount {' '.join(arguments)} does not work here ({result.stderr.strip()})")


def _unmount(directory: Path) -> None:
    # A loop device gives up its file only when no other program looks at the device: a `mount -o loop` of another
    # process, which searches for a free one, looks at all.
    umount = ["umount", str(directory)]
    wait_until(lambda: subprocess.run(umount, check=False, capture_output=True).returncode == 0, f"{directory} is free")
