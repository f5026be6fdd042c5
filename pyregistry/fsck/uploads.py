"""Checks of the open uploads of a repository."""

from collections.abc import Iterator

from pyregistry.fsck.entries import Listing
from pyregistry.fsck.findings import Finding, Kind
from pyregistry.oci.errors import BlobUploadUnknown
from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.objects import Entry, Objects, PathNotFound

_FILES = frozenset({layout.DATA, "startedat", "hashstates"})


def upload_findings(listing: Listing, name: RepositoryName, uploads: set[str]) -> Iterator[Finding]:
    """Yield the findings about uploads; add their ids to `uploads`."""
    ours: list[Entry] = []
    yield from listing.names(layout.uploads(name), _is_upload, ours)
    for entry in ours:
        uploads.add(entry.name)
        upload_id = UploadId(entry.name)
        files: list[Entry] = []
        yield from listing.names(layout.upload(name, upload_id), lambda file: file.name in _FILES, files)
        # A young one may be between its two files.
        is_old = all(listing.is_old(each) for each in (entry, *files))
        if is_old and (finding := check_upload(listing.objects, name, upload_id)) is not None:
            yield finding


def check_upload(objects: Objects, name: RepositoryName, upload_id: UploadId) -> Finding | None:
    """Check that it says when it began: the CNCF registry needs that before it removes an old one."""

    def recheck() -> Finding | None:
        return check_upload(objects, name, upload_id)

    directory = layout.upload(name, upload_id)
    try:
        objects.stat(directory)
    except PathNotFound:
        return None
    names = set(objects.children(directory))
    if "startedat" in names:
        return None
    kind, sentence = Kind.NO_START, "an upload that does not say when it began"
    if layout.DATA not in names:
        if names:
            return None
        kind, sentence = Kind.EMPTY_UPLOAD, "an upload without a file"
    return Finding(kind, directory, sentence, repository=name, upload=upload_id, recheck=recheck)


def _is_upload(entry: Entry) -> bool:
    if not entry.is_directory:
        return False
    try:
        UploadId(entry.name)
    except BlobUploadUnknown:
        return False
    return True
