"""Blobs of another size than their manifest says: this tells which of the two is wrong."""

from dataclasses import replace

from pyregistry.fsck.entries import no_permission
from pyregistry.fsck.findings import Finding, Kind
from pyregistry.fsck.hashing import Checked, Verdict, verify
from pyregistry.oci.digest import Digest
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Objects, PathNotFound
from pyregistry.storage.seams.sources import ContentId

Hashed = dict[tuple[Digest, ContentId | None], Checked]
"""Blobs that were read for their digests, by digest and content_id: many manifests may say another size of one."""


def settle_wrong_size(objects: Objects, finding: Finding, hashed: Hashed) -> Finding:
    """Return the finding, or that the blob is damaged: its digest decides.

    Reads the blob, so do not call it in a quiet moment.
    """
    if finding.kind is not Kind.WRONG_SIZE or finding.digest is None:
        return finding
    path = layout.blob_data(finding.digest)
    content_id = _content_id(objects, path)
    checked = hashed.get((finding.digest, content_id))
    if checked is None:
        checked = hashed[finding.digest, content_id] = verify(objects, finding.digest)
    if checked.verdict is Verdict.FORBIDDEN:
        return replace(finding, kind=Kind.NO_PERMISSION, path=path, sentence=no_permission(), lost=(), recheck=None)
    kind = {Verdict.CORRUPT: Kind.CORRUPT_BLOB, Verdict.UNREADABLE: Kind.UNREADABLE_BLOB}.get(checked.verdict)
    if kind is None:
        told = replace(finding, sentence=f"{finding.sentence}; the blob is right", lost=())
        return replace(told, recheck=lambda: told if _is_still(finding) else None)
    result = replace(finding, kind=kind, sentence=f"{finding.sentence}; {checked.reason}; push it again")
    # Reading it once more would take too long in a section: it is still damaged if it is still that file.
    return replace(result, recheck=lambda: result if _content_id(objects, path) == content_id else None)


def _is_still(finding: Finding) -> bool:
    now = finding.recheck() if finding.recheck is not None else None
    return now is not None and now.kind is finding.kind


def _content_id(objects: Objects, path: StoragePath) -> ContentId | None:
    try:
        return objects.stat(path).content_id
    except PathNotFound:
        return None
