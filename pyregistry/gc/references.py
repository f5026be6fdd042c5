"""References of a stored document, read conservatively, since a missed one would lose content."""

import errno
import re

import msgspec

from pyregistry.oci import media_types
from pyregistry.oci.digest import ALGORITHMS, Digest, new_hash
from pyregistry.oci.errors import DigestInvalid, ManifestInvalid
from pyregistry.oci.manifest import MAX_DOCUMENT_BYTES, read_manifest
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.objects import Objects

_DIGEST_SHAPED = re.compile(rb"(?:%b):[a-fA-F0-9]{64,128}" % "|".join(ALGORITHMS).encode())
_ESCAPED = re.compile(rb"\\u00([2-7][0-9a-fA-F])")
"""Letters, digits and signs that JSON may escape without need."""

UNREADABLE = frozenset({errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EUCLEAN, errno.EBADMSG})
"""Errors of one file. Any other, such as too many open files, does not concern the file and ends a run."""


class DocumentDamaged(Exception):
    """The references of a manifest are unknown, for the reason given: its bytes are wrong or unreadable."""


class References(msgspec.Struct, frozen=True, array_like=True):
    """Digests, as written in the document."""

    blobs: tuple[str, ...]
    children: tuple[str, ...]
    """Digests that may be those of manifests."""
    subject: str | None


def read_references(objects: Objects, digest: Digest) -> References:
    """Return the references of a manifest; raises PathNotFound, DocumentDamaged, OSError."""
    try:
        content = objects.read(layout.blob_data(digest), MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        raise DocumentDamaged(f"cannot be read ({error.strerror})") from error
    content_hash = new_hash(digest.algorithm)
    content_hash.update(content)
    if len(content) > MAX_DOCUMENT_BYTES or content_hash.hexdigest() != digest.encoded:
        raise DocumentDamaged("is damaged")
    try:
        manifest = read_manifest(content)
    except ManifestInvalid:
        return _all_digests(content)
    subject = manifest.subject.digest if manifest.subject is not None else None
    if manifest.media_type not in media_types.SUPPORTED:
        return _all_digests(content)
    if manifest.is_ambiguous:  # some reader may take any of these for a manifest
        digests = _all_digests(content).blobs
        return References(digests, digests, subject)
    children = [child for child in manifest.children if child.may_be_manifest]
    others = [child for child in manifest.children if not child.may_be_manifest]
    return References(
        blobs=tuple(descriptor.digest for descriptor in (*manifest.blobs, *others)),
        children=tuple(descriptor.digest for descriptor in children),
        subject=subject,
    )


def _all_digests(content: bytes) -> References:
    """Return everything that looks like a digest, for a document in an unknown format."""
    if b"\\u" in content:
        content += b" " + _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), content)
    # Each once, as it is found: 64 MiB of one digest are a million of them.
    found = dict.fromkeys(match[0] for match in _DIGEST_SHAPED.finditer(content))
    return References(tuple(digest.decode() for digest in found), (), None)


def parse(digest: str) -> Digest | None:
    """Parse a digest from a stored document or the name of a file; return None if it is invalid."""
    try:
        return Digest(digest)
    except DigestInvalid:
        return None
