"""Free space of file systems, for writers that have to leave a reserve."""

import os
import time

_RESERVE_BYTES = 1024**3
"""Space that uploads leave free, or a fiftieth of the file system if that is less."""
_PLENTY_BYTES = 1024**3
"""Space above the reserve that no disk can fill within _CACHED_SECONDS."""
_CACHED_SECONDS = 0.1


class FreeSpace:
    """Available bytes of each file system, cached for a tenth of a second while they are plenty."""

    def __init__(self) -> None:
        self._plenty: dict[str, tuple[float, int]] = {}

    def available_bytes(self, directory: str) -> int:
        """Return the bytes above the reserve on the file system of `directory`; raise OSError."""
        now = time.monotonic()
        until, available = self._plenty.get(directory, (0.0, 0))
        if now < until:
            return available
        usage = os.statvfs(directory)
        reserve = min(_RESERVE_BYTES, usage.f_blocks * usage.f_frsize // 50)
        available = max(usage.f_bavail * usage.f_frsize - reserve, 0)
        self._plenty[directory] = (now + _CACHED_SECONDS if available >= _PLENTY_BYTES else 0.0, available)
        return available
