"""Every blob that existed when a run began, with its state.

A registry may have millions, so these are a few flat arrays: 57 bytes for each sha256 blob, instead of 170 in a dict.
"""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate, islice, repeat

from pyregistry.oci.digest import ALGORITHMS, Digest, new_hash
from pyregistry.storage.seams.coordinator import Generation

_WIDTHS: Mapping[str, int] = {algorithm: len(new_hash(algorithm).hexdigest()) // 2 for algorithm in ALGORITHMS}
"""Bytes of a digest."""
_UNMARKED, _MARKED, _LEASED, _UNTAGGED = 0, 1, 2, 4
"""States of a blob: only `_LEASED` and `_UNTAGGED` add up."""


class PrefixBlobs:
    """The blobs of one directory, whose digests begin with the same byte; small enough to send between processes."""

    def __init__(self, algorithm: str, prefix: str) -> None:
        self.algorithm = algorithm
        self.width = _WIDTHS[algorithm]
        self.raw = bytearray()
        self.first = array("Q")
        self.second = array("Q")
        self.size = array("Q")
        self._prefix = prefix

    def __len__(self) -> int:
        """Return the number of blobs."""
        return len(self.size)

    def add(self, encoded: str, generation: Generation) -> bool:
        """Add a blob; return False for a name that does not belong here. In the order of their names."""
        try:
            raw = bytes.fromhex(encoded)
        except ValueError:
            return False
        if len(raw) != self.width or raw.hex() != encoded or encoded[:2] != self._prefix:
            return False
        self.raw += raw
        self.first.append(generation.first)
        self.second.append(generation.second)
        self.size.append(generation.size)
        return True


class Candidates:
    """The blobs by digest, with their generations; marking removes them."""

    def __init__(self) -> None:
        self._tables: Mapping[str, _Table] = {algorithm: _Table(width) for algorithm, width in _WIDTHS.items()}

    def __len__(self) -> int:
        """Return the number of blobs."""
        return sum(len(table) for table in self._tables.values())

    def extend(self, blobs: PrefixBlobs) -> None:
        """Add the blobs of another directory; for each algorithm in the order of their names."""
        if len(blobs):
            self._tables[blobs.algorithm].extend(blobs)

    def mark(self, digest: str) -> bool:
        """Take a blob out; return True if it existed and was not marked before. `digest` may be any string."""
        table, index = self._find(digest)
        if index < 0 or table.marked[index] == _MARKED:
            return False
        table.marked[index] = _MARKED
        return True

    def mark_untagged(self, digest: str) -> None:
        """Take a blob out for an untagged manifest; a mark, before or after, counts instead."""
        table, index = self._find(digest)
        if index >= 0 and table.marked[index] != _MARKED:
            table.marked[index] |= _UNTAGGED

    def mark_all(self) -> None:
        """Take every blob out: it is unknown which of them are garbage."""
        for table in self._tables.values():
            table.marked[:] = bytes((_MARKED,)) * len(table.marked)

    def mark_leased(self, digest: str) -> None:
        """Take a blob out for a lease; a mark, before or after, counts instead."""
        table, index = self._find(digest)
        if index >= 0 and table.marked[index] != _MARKED:
            table.marked[index] |= _LEASED

    def leased_sizes(self) -> Iterator[int]:
        """Yield the sizes in bytes of the blobs that only leases keep."""
        return self._sizes(_LEASED)

    def untagged_size(self) -> int:
        """Return the bytes of the blobs that only untagged manifests keep."""
        return sum(self._sizes(_UNTAGGED))

    def _sizes(self, state: int) -> Iterator[int]:
        for table in self._tables.values():
            for index in table.indexes_of(state):
                yield table.size[index]

    def is_marked(self, digest: str) -> bool:
        """Return True if the blob existed and was taken out."""
        table, index = self._find(digest)
        return index >= 0 and bool(table.marked[index])

    def size(self, digest: str) -> int | None:
        """Return the size in bytes; None for a blob that did not exist."""
        table, index = self._find(digest)
        return table.size[index] if index >= 0 else None

    def generation(self, digest: str) -> Generation | None:
        """Return the generation that the blob had; None for a blob that did not exist."""
        table, index = self._find(digest)
        return Generation(table.first[index], table.second[index], table.size[index]) if index >= 0 else None

    def total_size(self) -> int:
        """Return the size of all blobs, in bytes."""
        return sum(sum(table.size) for table in self._tables.values())

    def marked_count(self) -> int:
        """Return the number of blobs that were taken out."""
        return sum(len(table) - table.marked.count(_UNMARKED) for table in self._tables.values())

    def unmarked(self) -> Iterator[tuple[Digest, int]]:
        """Yield the blobs that are left, with their sizes in bytes."""
        for algorithm, table in self._tables.items():
            for encoded, size in table.unmarked():
                yield Digest(f"{algorithm}:{encoded}"), size

    def _find(self, digest: str) -> "tuple[_Table, int]":
        algorithm, _, encoded = digest.partition(":")
        table = self._tables.get(algorithm, _NO_TABLE)
        return table, table.find(encoded)


class _Table:
    """The blobs of one algorithm, sorted."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._raw = bytearray()
        self._begins = array("Q")  # of each bucket: the digests with the same first two bytes
        self.first = array("Q")
        self.second = array("Q")
        self.size = array("Q")
        self.marked = bytearray()

    def __len__(self) -> int:
        return len(self.marked)

    def extend(self, blobs: PrefixBlobs) -> None:
        start, first = len(self.marked), blobs.raw[0] << 8
        self._begins.extend(array("Q", (start,)) * (first - len(self._begins)))
        sizes = map(Counter(blobs.raw[1 :: self._width]).get, range(256), repeat(0))  # of the buckets
        self._begins.extend(islice(accumulate(sizes, initial=start), 256))
        self._raw += blobs.raw
        self.first += blobs.first
        self.second += blobs.second
        self.size += blobs.size
        self.marked += bytes((_UNMARKED,)) * len(blobs)

    def find(self, encoded: str) -> int:
        """Return the index of a blob, -1 for an unknown one."""
        width = self._width
        try:
            raw = bytes.fromhex(encoded)
            bucket = raw[0] << 8 | raw[1]
            begin = self._begins[bucket] * width
        except (ValueError, IndexError):  # not hexadecimal; too short, or after the last one
            return -1
        end = self._begins[bucket + 1] * width if bucket + 1 < len(self._begins) else len(self._raw)
        while (at := self._raw.find(raw, begin, end)) >= 0 and at % width:
            begin = at + 1  # the end of one digest and the beginning of the next
        return at // width if at >= 0 and len(raw) == width else -1

    def unmarked(self) -> Iterator[tuple[str, int]]:
        for at in self.indexes_of(_UNMARKED):
            yield self._raw[at * self._width : (at + 1) * self._width].hex(), self.size[at]

    def indexes_of(self, state: int) -> Iterator[int]:
        at = self.marked.find(state)
        while at >= 0:
            yield at
            at = self.marked.find(state, at + 1)


_NO_TABLE = _Table(1)
