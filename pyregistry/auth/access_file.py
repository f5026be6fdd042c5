"""A file of users or rules: reloaded when it changes, given up a minute after it was last usable."""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pyregistry.common.opener import open_file, stat_file
from pyregistry.common.reloaded_files import FileUnusable, GivenUp, ReloadedFiles, Use

MAX_FILE_BYTES = 1024 * 1024

T = TypeVar("T")


def access_file(
    path: Path,
    name: str,
    make: Callable[[bytes], T],
    describe: Callable[[T], Mapping[str, object]],
    given_up: GivenUp[T],
) -> ReloadedFiles[T]:
    """Load the value of a file with `make`. Blocks. Raises FileUnusable, as `make` does."""
    use = Use(
        name,
        lambda: [read_access_file(path)],
        lambda contents: make(contents[0]),
        describe,
        restored=f"{name} usable again",
        fields={"path": str(path)},
        given_up=given_up,
    )
    return ReloadedFiles([path], use)


def read_access_file(path: Path) -> bytes:
    """Return the content of a regular file that only its owner and group can write. Blocks. Raises FileUnusable."""
    try:
        status = stat_file(path)
        mode = stat.S_IMODE(status.st_mode)
        if mode & stat.S_IWOTH:
            raise FileUnusable(f"every user of this machine may write to it (mode {mode:04o})")
        if not stat.S_ISREG(status.st_mode):  # to open a device may do something
            raise FileUnusable("not a regular file")
        # Without blocking: meanwhile it may be a FIFO, whose writer may never come.
        with os.fdopen(open_file(path), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise FileUnusable("not a regular file")
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FileUnusable(str(error.strerror)) from error
    if len(content) > MAX_FILE_BYTES:
        raise FileUnusable(f"more than {MAX_FILE_BYTES} bytes")
    return content
