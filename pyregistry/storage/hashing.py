"""The digest of bytes that are in the storage."""

from pyregistry.oci.digest import Digest, new_hash
from pyregistry.storage.driver import LocalFile, Source

BLOCK = 1024 * 1024
"""Bytes read at once where a file must be hashed from its beginning."""


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
