"""Running hashes: what an upload's bytes hash to so far, in this worker's memory and in a record for the others."""

import msgspec

from pyregistry.bounded_cache import BoundedCache
from pyregistry.oci.digest import ALGORITHMS, Digest, Hash, new_hash
from pyregistry.oci.names import UploadId
from pyregistry.storage import layout
from pyregistry.storage.driver import Driver, LocalFile, PathNotFound, Source, Stat

BLOCK = 1024 * 1024
"""Bytes read at once where a file must be hashed from its beginning."""
_RUNNING_HASHES = 1_000


class Record(msgspec.Struct, frozen=True):
    """What a request left behind: the hash of the first `offset` bytes of exactly this file, in this epoch.

    Across a power cut the record may survive while bytes of the file do not, hence the epoch.
    """

    algorithm: str
    offset: int = 0
    encoded: str = ""
    inode: int = 0
    mtime_ns: int = 0
    epoch: str = ""
    owner: str = ""
    """The user who began the upload; empty: nobody that has a name, or another server."""
    lost: bool = False
    """True after an error that may have cost bytes, of an upload that could not be removed then."""

    def describes(self, stat: Stat) -> bool:
        """True if the file has not changed since."""
        return (self.offset, self.inode, self.mtime_ns) == (stat.size, stat.inode, stat.mtime_ns)


def read_record(driver: Driver, upload_id: UploadId) -> Record | None:
    """What is known of an upload beside its bytes; None for nothing, and for what a power cut tore."""
    try:
        record = msgspec.json.decode(driver.read(layout.upload_record(upload_id)), type=Record)
    except (PathNotFound, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return record if record.algorithm in ALGORITHMS else None


def write_record(driver: Driver, upload_id: UploadId, record: Record) -> None:
    """Not durably: what is lost is only time."""
    driver.write(layout.upload_record(upload_id), msgspec.json.encode(record), durable=False)


def write_lost_record(driver: Driver, upload_id: UploadId, algorithm: str, owner: str) -> None:
    """Note that an upload must not be finished. Not durably: a power cut also takes what only memory held."""
    write_record(driver, upload_id, Record(algorithm, owner=owner, lost=True))


class RunningHashes:
    """The hashes of this worker's open uploads, the oldest dropped first; losing one costs a second reading.

    For use from several threads: each step is one of a dict's own.
    """

    def __init__(self) -> None:
        self._hashes = BoundedCache[UploadId, tuple[Record, Hash]](limit=_RUNNING_HASHES)
        self._given_up: set[UploadId] = set()

    def take(self, upload_id: UploadId, stat: Stat, epoch: str) -> Hash | None:
        """The hash of all bytes of the file, if this worker has it. Whoever takes it gives it back."""
        record, running = self._hashes.pop(upload_id) or (None, None)
        return running if record is not None and record.describes(stat) and record.epoch == epoch else None

    def give_back(self, upload_id: UploadId, record: Record, running: Hash) -> None:
        """Keep a hash for the upload's next request."""
        self._hashes.put(upload_id, (record, running))

    def drop(self, upload_id: UploadId) -> None:
        """Forget an upload."""
        self._hashes.pop(upload_id)

    def give_up(self, upload_id: UploadId) -> None:
        """Remember an upload of which bytes may be lost and that could not be removed, for the life of the worker."""
        self._given_up.add(upload_id)

    def is_given_up(self, upload_id: UploadId) -> bool:
        """Return True for an upload that this worker gave up."""
        return upload_id in self._given_up


def hash_source(source: Source, algorithm: str) -> Digest:
    """Read all of it; raises PathNotFound. Blocks."""
    total = new_hash(algorithm)
    if isinstance(source, LocalFile):
        with source.open() as file:
            while block := file.read(BLOCK):
                total.update(block)
    else:
        total.update(source.content)
    return Digest.from_hash(total)
