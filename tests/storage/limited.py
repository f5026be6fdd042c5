"""A file system in user space that can do less than others: it cannot sync directories, or set times.

A real kernel mounts it, as it mounts CIFS, rclone or s3fs.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.processes import Program, missing, require_root, wait_until

SOURCE_TREE = Path(__file__).resolve().parents[2]


class _Mounted(Program):
    """The program that serves it; it answers once the kernel has its mount."""

    def __init__(self, source: Path, point: Path, refused: Mapping[str, int]) -> None:
        words = [f"{call}={number}" for call, number in refused.items()]
        command = [sys.executable, "-m", "tests.storage.limited_program", str(source), str(point), *words]
        super().__init__(command, source.with_suffix(".log"), {"PYTHONPATH": str(SOURCE_TREE)})
        self._point = point

    def answers(self) -> bool:
        return os.path.ismount(self._point)


@contextmanager
def limited(directory: Path, **refused: int) -> Iterator[Path]:
    """Mount a file system that answers `sync` or `times` with an errno; 0 for `times`: it ignores them."""
    require_root()
    if not Path("/dev/fuse").exists():
        missing("this kernel has no FUSE (/dev/fuse)")
    source, point = directory / "source", directory / "mounted"
    source.mkdir()
    point.mkdir()
    program = _Mounted(source, point, refused)
    program.start()
    try:
        yield point
    finally:
        umount = ["umount", str(point)]
        wait_until(lambda: subprocess.run(umount, check=False, capture_output=True).returncode == 0, "it is unmounted")
        program.kill()
