"""Size of all blobs as garbage collection or `du` counted it last: a scrape does not walk over the blobs."""

from contextlib import suppress
from dataclasses import dataclass

import msgspec

from pyregistry.storage.seams import layout
from pyregistry.storage.seams.objects import Objects, PathNotFound


@dataclass(frozen=True, slots=True)
class Used:
    """All blobs, manifests included; `size` in bytes. `counted_at` is in seconds since the epoch."""

    blobs: int
    size: int
    counted_at: float = 0.0


def note_used(objects: Objects, used: Used) -> None:
    """Store the figures in the data directory, if it can be written. Blocks."""
    with suppress(OSError):  # it is read-only, full or another user's: the earlier figures stay
        objects.write(layout.USED, msgspec.json.encode({"blobs": used.blobs, "size": used.size}), durable=False)


def last_used(objects: Objects) -> Used | None:
    """Return the figures that were stored last, if any. Blocks."""
    try:
        found = msgspec.json.decode(objects.read(layout.USED), type=Used)
        return Used(found.blobs, found.size, objects.stat(layout.USED).modified_ns / 1e9)
    except (PathNotFound, msgspec.DecodeError):
        return None
