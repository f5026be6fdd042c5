"""The times at which each blob was last found right: a file for each two digits with which digests begin.

It may be removed: without it everything counts as never checked.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from pyregistry.gc.references import parse
from pyregistry.oci.digest import ALGORITHMS
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.objects import Objects, PathNotFound
from pyregistry.storage.seams.reserved import is_reserved

_TORN = (msgspec.DecodeError, UnicodeDecodeError)


@dataclass(slots=True)
class Shard:
    """The blobs whose digests begin alike; times in nanoseconds since the epoch, 0 for never."""

    algorithm: str
    prefix: str
    sizes: dict[str, int]
    checked: dict[str, int]

    @property
    def oldest(self) -> int:
        """The oldest check among them."""
        return min((self.checked.get(encoded, 0) for encoded in self.sizes), default=0)


def shards(objects: Objects) -> Iterator[tuple[str, str]]:
    """Yield the algorithms and prefixes that there are."""
    for algorithm in ALGORITHMS:
        for prefix in objects.children(layout.child(layout.BLOBS, algorithm)):
            if prefix != layout.MOUNTED and not is_reserved(prefix):
                yield algorithm, prefix


def load(objects: Objects, algorithm: str, prefix: str) -> Shard:
    """Read one shard; an empty blob, and each other thing, is left to the check."""
    directory = layout.child(layout.child(layout.BLOBS, algorithm), prefix)
    sizes = {
        encoded: stat.size
        for encoded, stat in objects.scan(directory, layout.DATA)
        if stat is not None and stat.is_file and stat.size and parse(f"{algorithm}:{encoded}") is not None
    }
    checked: dict[str, int] = {}
    with suppress(PathNotFound, *_TORN):
        checked = msgspec.json.decode(objects.read(layout.scrubbed(algorithm, prefix)), type=dict[str, int])
    return Shard(algorithm, prefix, sizes, {name: at for name, at in checked.items() if name in sizes})


def save(objects: Objects, shard: Shard) -> None:
    """Keep it for the next run; not durably, since only time is lost."""
    objects.write(layout.scrubbed(shard.algorithm, shard.prefix), msgspec.json.encode(shard.checked), durable=False)


def begin_pass(objects: Objects) -> int:
    """Return when the pass began that was cut off, else now; nanoseconds since the epoch."""
    with suppress(PathNotFound, *_TORN):
        begun = msgspec.json.decode(objects.read(layout.SCRUB_PASS), type=int)
        if begun <= time.time_ns():  # else the clock was put back
            return begun
    now = time.time_ns()
    with suppress(OSError):  # where nothing can be written the next run begins anew
        objects.write(layout.SCRUB_PASS, msgspec.json.encode(now), durable=False)
    return now


def end_pass(objects: Objects) -> None:
    """Let the next run begin a new pass."""
    with suppress(PathNotFound, OSError):
        objects.delete(layout.SCRUB_PASS)
