"""Hashes of uploads so far: in the memory of this worker, and on disk for the others."""

from collections.abc import Hashable

import msgspec

from pyregistry.common.bounded_cache import BoundedCache
from pyregistry.oci.digest import ALGORITHMS, Hash
from pyregistry.oci.names import UploadId
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.objects import Objects, PathNotFound

_RUNNING_HASHES = 1_000
"""Uploads whose hash a worker keeps; the oldest is evicted first, which costs a second reading."""


class HashCheckpoint(msgspec.Struct, frozen=True):
    """The hash of the first `offset` bytes of exactly this file, in this epoch, and the owner of the upload.

    Across a power cut the checkpoint may survive while bytes of the file do not, hence the epoch.
    """

    algorithm: str
    offset: int = 0
    encoded: str = ""
    inode: int = 0
    mtime_ns: int = 0
    epoch: str = ""
    owner: str = ""
    """The user who began the upload; empty without a user name, or from another server."""
    lost: bool = False
    """True after an error that may have cost bytes, if the upload could not be removed."""

    def describes(self, size: int, inode: int, mtime_ns: int, epoch: str) -> bool:
        """Return True if the file has not changed since, and has lost no byte."""
        return (self.offset, self.inode, self.mtime_ns, self.epoch) == (size, inode, mtime_ns, epoch)


def read_checkpoint(objects: Objects, upload_id: UploadId) -> HashCheckpoint | None:
    """Return the checkpoint of an upload; None if it is missing or was torn by a power cut."""
    try:
        checkpoint = msgspec.json.decode(objects.read(layout.upload_record(upload_id)), type=HashCheckpoint)
    except (PathNotFound, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return checkpoint if checkpoint.algorithm in ALGORITHMS else None


def write_checkpoint(objects: Objects, upload_id: UploadId, checkpoint: HashCheckpoint) -> None:
    """Write the checkpoint of an upload. Not durably: a power cut costs a second reading."""
    objects.write(layout.upload_record(upload_id), msgspec.json.encode(checkpoint), durable=False)


class RunningHashes:
    """The hashes of this worker's open uploads, since hashlib cannot save its state.

    Safe for use from several threads: each step is a single operation of a dict.
    """

    def __init__(self) -> None:
        self._hashes = BoundedCache[UploadId, tuple[Hashable, Hash]](limit=_RUNNING_HASHES)

    def pop(self, upload_id: UploadId, state: Hashable) -> Hash | None:
        """Remove and return the hash of all bytes, if it was put for an upload in exactly this state."""
        known, running = self._hashes.pop(upload_id) or (None, None)
        return running if known == state else None

    def put(self, upload_id: UploadId, state: Hashable, running: Hash) -> None:
        """Keep a hash for the upload's next request."""
        self._hashes.put(upload_id, (state, running))

    def evict(self, upload_id: UploadId) -> None:
        """Drop the hash of an upload."""
        self._hashes.pop(upload_id)

    def __len__(self) -> int:
        """Return the number of hashes."""
        return len(self._hashes)
