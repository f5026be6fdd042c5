"""Manifests and indexes: strict where two readers could disagree, lenient everywhere else.

A document is stored byte for byte with its unknown fields, so this parser only checks. It refuses documents that
another JSON reader could understand differently (duplicate keys, CVE-2021-41190's two types in one).
"""

import base64
import binascii
from typing import Final

import msgspec

from pyregistry.oci import media_types
from pyregistry.oci.digest import Digest
from pyregistry.oci.document import Descriptor, Document, Subject, decode_document
from pyregistry.oci.errors import DigestInvalid, ManifestInvalid, ManifestTypeUnsupported
from pyregistry.oci.json_text import MAX_VALUES, measure, read_strictly, with_valid_text

MAX_DOCUMENT_BYTES: Final = 64 * 1024 * 1024
"""Bytes of a stored manifest that are read: no registry ever accepted one as large as this."""
MAX_ANNOTATIONS_BYTES: Final = 256 * 1024
"""Bytes of annotations, as JSON, that a list of referrers shows for one manifest."""
MAX_ARTIFACT_TYPE_BYTES: Final = 1024
"""Bytes of a type, as JSON, that a list of referrers shows."""
_ESCAPED: Final = 6
"""The most bytes of a character in JSON."""
_MAX_STORED_DEPTH: Final = 1_000
"""The decoder's own limit."""


class Manifest(msgspec.Struct, frozen=True):
    """The parts of a manifest or index that a registry uses."""

    media_type: str
    blobs: tuple[Descriptor, ...]
    """Config and layers; empty for an index."""
    children: tuple[Descriptor, ...]
    """The `manifests` of an index; BuildKit's cache puts blobs there too."""
    subject: Subject | None
    artifact_type: str
    """As in the referrers API: any text. An image without one has its config's media type.

    Empty if unknown, or above MAX_ARTIFACT_TYPE_BYTES bytes.
    """
    annotations: dict[str, str] | None
    """As in the referrers API: None also above MAX_ANNOTATIONS_BYTES bytes."""
    is_ambiguous: bool = False
    """True for a document that JSON readers may understand differently: it may refer to more than this."""

    @property
    def is_index(self) -> bool:
        """True for an OCI index and a Docker manifest list."""
        return self.media_type in media_types.INDEXES


class StoredManifest(msgspec.Struct, frozen=True):
    """A manifest as it was pushed; its digest is of exactly these bytes."""

    digest: Digest
    media_type: str
    content: bytes


def parse_manifest(content: bytes, content_type: str | None) -> Manifest:
    """Check a manifest that a client pushes.

    `content_type` is the request's header without parameters, None if absent. Raises ManifestInvalid and
    ManifestTypeUnsupported.
    """
    if content_type is not None and content_type in media_types.SCHEMA1:
        raise ManifestInvalid("Docker schema 1 manifests are not supported; push the image with a newer client")
    if content_type is not None and content_type not in media_types.SUPPORTED:
        raise ManifestTypeUnsupported(
            f"the Content-Type of a manifest is one of {', '.join(sorted(media_types.SUPPORTED))}"
        )
    document = _decode(content)
    media_type = _media_type_of(document, content_type)
    _check_shape(document, media_type)
    manifest = _to_manifest(document, len(content))
    _check_descriptors(manifest)
    return manifest


def read_manifest(content: bytes) -> Manifest:
    """Read a stored document; its type comes from its bytes alone, so that a digest always has one type.

    Raises ManifestInvalid for bytes that are not a manifest.
    """
    if len(content) > MAX_VALUES:  # fewer bytes cannot hold more values
        measure(content, _MAX_STORED_DEPTH)
    document, double = _decode_stored(content)
    if document.schema_version != 2:  # schema 1 has no required field that this reader would miss
        raise ManifestInvalid("schemaVersion is 2")
    return _to_manifest(document, len(content), double)


def _decode_stored(content: bytes) -> tuple[Document, str | None]:
    try:
        return decode_document(content, leniently=True)
    except ManifestInvalid:
        readable = with_valid_text(content)
        if readable == content:
            raise
        return decode_document(readable, leniently=True)


def _to_manifest(document: Document, size: int, double: str | None = None) -> Manifest:
    media_type, config, subject = document.type, document.config, document.subject
    if subject is not None and not subject.digest:  # an empty descriptor, as Go may write for an absent one
        subject = None
    artifact_type = document.artifact_type or ""
    if not artifact_type and config is not None:
        artifact_type = config.media_type  # "Listing Referrers": an image without artifactType
    return Manifest(
        media_type=media_type,
        blobs=(*((config,) if config is not None else ()), *(document.layers or ())),
        children=tuple(document.children or ()),
        subject=subject,
        artifact_type=artifact_type if _is_shown(artifact_type) else "",
        annotations=document.annotations if size <= MAX_ANNOTATIONS_BYTES else shown_annotations(document.annotations),
        # Every registry wants a config in an image, but of two, one of them null, a reader may find none.
        is_ambiguous=double is not None
        or (config is None and (document.children is None or media_type in media_types.MANIFESTS)),
    )


def _is_shown(artifact_type: str) -> bool:
    if len(artifact_type) * _ESCAPED + 2 <= MAX_ARTIFACT_TYPE_BYTES:
        return True
    return (
        len(artifact_type) <= MAX_ARTIFACT_TYPE_BYTES
        and len(msgspec.json.encode(artifact_type)) <= MAX_ARTIFACT_TYPE_BYTES
    )


def shown_annotations(annotations: dict[str, str] | None) -> dict[str, str] | None:
    """Return the annotations for the referrers API; None above MAX_ANNOTATIONS_BYTES bytes."""
    return annotations if len(msgspec.json.encode(annotations)) <= MAX_ANNOTATIONS_BYTES else None


def _decode(content: bytes) -> Document:
    read_strictly(content)
    # From the bytes again, as read_manifest does: an accepted document must be readable later.
    document, double = decode_document(content)
    if double is not None:  # Go uses the last of them, other readers the one in the spec's case
        raise ManifestInvalid(f"an object has the key {double[:40]!r} twice, in different case")
    return document


def _media_type_of(document: Document, content_type: str | None) -> str:
    if document.schema_version == 1:
        raise ManifestInvalid("Docker schema 1 manifests are not supported; push the image with a newer client")
    if document.schema_version != 2:
        raise ManifestInvalid("schemaVersion is 2")
    stored = document.type
    if stored not in media_types.SUPPORTED:
        raise ManifestInvalid("the document's mediaType is not one that this registry knows")
    # Only the bytes are stored, so another type in the header would be lost.
    if content_type is not None and content_type != stored:
        raise ManifestInvalid(f"Content-Type is {content_type}, but the document is {stored}")
    return stored


def _check_shape(document: Document, media_type: str) -> None:
    # Go may write an empty list as null, so null does not mean that a field is present.
    if document.children is not None and (document.layers is not None or document.config is not None):
        raise ManifestInvalid("a document has either manifests, or config and layers (CVE-2021-41190)")
    if media_type in media_types.INDEXES:
        if document.layers is not None or document.config is not None:
            raise ManifestInvalid("an index has manifests, and neither config nor layers")
    elif document.children is not None:
        raise ManifestInvalid("an image manifest has config and layers, and no manifests")
    elif document.config is None:
        raise ManifestInvalid("an image manifest has a config")


def _check_descriptors(manifest: Manifest) -> None:
    for descriptor in (*manifest.blobs, *manifest.children):
        _check_descriptor(descriptor)
    if manifest.subject is not None:
        _check_digest(manifest.subject.digest)


def _check_digest(text: str) -> Digest:
    try:
        return Digest(text)
    except DigestInvalid as error:
        raise ManifestInvalid(f"a descriptor has a malformed digest: {error.detail}") from error


def _check_descriptor(descriptor: Descriptor) -> None:
    digest = _check_digest(descriptor.digest)
    if descriptor.size < 0:
        raise ManifestInvalid(f"the size of {digest} is negative")
    if descriptor.data:  # Go may write absent data as an empty string
        _check_data(descriptor.data, digest)


def _check_data(data: str, digest: Digest) -> None:
    try:
        # RFC 4648 leaves line ends to the reader: Go accepts them.
        content = base64.b64decode(data.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ManifestInvalid(f"the data of {digest} is not base64") from error
    if Digest.of(content, digest.algorithm) != digest:
        raise ManifestInvalid(f"the data of {digest} does not match its digest")
