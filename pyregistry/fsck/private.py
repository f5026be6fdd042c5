"""Checks of the registry's own directory, for leftovers of killed writers."""

from collections.abc import Iterator

from pyregistry.fsck.entries import Listing, leftover
from pyregistry.fsck.findings import Finding, Kind
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.objects import Objects


def private_findings(objects: Objects, listing: Listing, uploads: set[str]) -> Iterator[Finding]:
    """Yield the old leftovers; `uploads` are the ids of all open uploads. The trash belongs to garbage collection."""
    for directory in map(layout.temporaries, objects.private_directories()):
        for entry in listing.entries(directory):
            if isinstance(entry, Finding):
                yield entry
            elif listing.is_old(entry):
                path = layout.child(directory, entry.name)
                yield leftover(objects, Kind.TEMPORARY, path, "a temporary file of a write that was cut off")
    for entry in listing.entries(layout.UPLOAD_RECORDS):
        if isinstance(entry, Finding):
            yield entry
        elif entry.name not in uploads and listing.is_old(entry):
            path = layout.child(layout.UPLOAD_RECORDS, entry.name)
            yield leftover(objects, Kind.OLD_RECORD, path, "a note about an upload that ended")
