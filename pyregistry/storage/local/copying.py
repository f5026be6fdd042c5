"""Copying a file to another file system, with the kernel's own buffers."""

import os

_COPY_BYTES = 8 * 1024 * 1024
"""Bytes that the kernel copies in one call, after which the thread may be stopped."""


def copy_durably(source: str, handle: int) -> None:
    """Copy a file to an open one, sync that, and close it in any case. Raises OSError, also on a full disk."""
    try:
        reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            while os.sendfile(handle, reading, None, _COPY_BYTES):
                pass
        finally:
            os.close(reading)
        os.fsync(handle)
    finally:
        os.close(handle)
