"""Checks of the blobs, without reading them."""

import re
from collections.abc import Iterator

from pyregistry.fsck.entries import Listing, unreadable
from pyregistry.fsck.findings import Finding, Kind
from pyregistry.gc.references import parse
from pyregistry.oci.digest import ALGORITHMS, EMPTY_DIGESTS, Digest
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.objects import Entry, Objects, PathNotFound

_PREFIX = re.compile(r"[0-9a-f]{2}", re.ASCII)


def blob_findings(objects: Objects, listing: Listing) -> Iterator[Finding]:
    """Yield the findings about the blobs' names and files."""
    algorithms: list[Entry] = []
    yield from listing.names(layout.BLOBS, lambda entry: entry.is_directory and entry.name in ALGORITHMS, algorithms)
    for algorithm in algorithms:
        directory = layout.child(layout.BLOBS, algorithm.name)
        prefixes: list[Entry] = []
        yield from listing.names(directory, _is_prefix, prefixes)
        for prefix in prefixes:
            yield from _below(objects, listing, layout.child(directory, prefix.name), algorithm.name, prefix.name)


def _is_prefix(entry: Entry) -> bool:
    return entry.is_directory and _PREFIX.fullmatch(entry.name) is not None


def _below(
    objects: Objects, listing: Listing, directory: layout.StoragePath, algorithm: str, prefix: str
) -> Iterator[Finding]:
    def is_blob(entry: Entry) -> bool:
        is_named = entry.is_directory and entry.name.startswith(prefix)
        return is_named and parse(f"{algorithm}:{entry.name}") is not None

    blobs: list[Entry] = []
    yield from listing.names(directory, is_blob, blobs)
    for blob in blobs:
        path = layout.child(directory, blob.name)
        files: list[Entry] = []
        yield from listing.names(path, lambda entry: entry.name == layout.DATA, files)
        if not files or files[0].stat.size == 0 or not files[0].stat.is_file:
            try:
                finding = check_blob(objects, Digest(f"{algorithm}:{blob.name}"))
            except OSError as error:
                finding = unreadable(path, error)
            if finding is not None:
                yield finding


def check_blob(objects: Objects, digest: Digest) -> Finding | None:
    """Return the finding about a blob that is missing or empty, or is no file."""
    path = layout.blob_data(digest)

    def recheck() -> Finding | None:
        return check_blob(objects, digest)

    try:
        stat = objects.stat(path)
    except PathNotFound:
        if next(objects.children(layout.blob(digest)), None) is not None:
            return None  # what is there is a finding of its own
        try:
            objects.stat(layout.blob(digest))
        except PathNotFound:
            return None
        return Finding(
            Kind.NO_DATA, layout.blob(digest), "the directory of a blob, empty", digest=digest, recheck=recheck
        )
    if not stat.is_file:
        sentence = f"the file of {digest} is a symbolic link that leads nowhere, or no file; bring back what it led to"
        return Finding(Kind.NO_FILE, path, sentence, digest=digest, recheck=recheck)
    if stat.size == 0 and digest not in EMPTY_DIGESTS:
        sentence = f"the file of {digest} is empty; push it again"
        return Finding(Kind.EMPTY_BLOB, path, sentence, digest=digest, recheck=recheck)
    return None
