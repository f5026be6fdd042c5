"""What a repository's manifests say, read before it is marked, and perhaps by another process."""

from collections.abc import Iterator
from contextlib import suppress

import msgspec

from pyregistry.gc.references import DocumentDamaged, References, parse, read_references
from pyregistry.oci.digest import ALGORITHMS, Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage import layout
from pyregistry.storage.driver import Driver, PathNotFound, Stat

AT_ONCE = 100_000
"""References that are sent between processes: some ten megabytes."""


class Documents(msgspec.Struct, array_like=True):
    """The revision links of a repository, and what some of the manifests refer to."""

    revisions: dict[str, Stat] = {}
    references: dict[str, References] = {}
    """Not of a manifest that cannot be read: who marks shall see why."""


def list_revisions(driver: Driver, name: RepositoryName) -> Documents:
    """The links alone; raises OSError."""
    return Documents(dict(_revisions(driver, name)))


def read_documents(driver: Driver, name: RepositoryName) -> bytes:
    """Links and manifests, for `decode`; raises OSError. Of a very large repository not all manifests."""
    documents, count = list_revisions(driver, name), 0
    for digest in documents.revisions:
        if count > AT_ONCE:
            break
        with suppress(PathNotFound, DocumentDamaged):
            found = documents.references[digest] = read_references(driver, Digest(digest))
            count += len(found.blobs) + len(found.children)
    return msgspec.msgpack.encode(documents)


def decode(documents: bytes) -> Documents:
    """What `read_documents` wrote."""
    return msgspec.msgpack.decode(documents, type=Documents)


def _revisions(driver: Driver, name: RepositoryName) -> Iterator[tuple[str, Stat]]:
    revisions = layout.revisions(name)
    for algorithm in driver.children(revisions, strict=True):
        if algorithm not in ALGORITHMS:
            continue
        for encoded, stat in driver.scan(layout.child(revisions, algorithm), layout.LINK, strict=True):
            digest = parse(f"{algorithm}:{encoded}")
            if digest is not None and stat is not None:  # the CNCF registry leaves the directory of a deleted one
                yield digest, stat
