"""The digest of bytes that are in the storage."""

from pyregistry.oci.digest import Digest, new_hash
from pyregistry.storage.seams.sources import Source, opened


def hash_source(source: Source, algorithm: str) -> Digest:
    """Return the digest of all bytes; raises PathNotFound. Blocks."""
    total = new_hash(algorithm)
    with opened(source) as reading:
        for block in reading.blocks():
            total.update(block)
    return Digest.from_hash(total)
