"""Manifests and indexes: strict where two readers could disagree, lenient everywhere else.

A document is stored byte for byte and its unknown fields are kept, so this parser only looks. What it refuses are
documents that another JSON reader could understand differently (duplicate keys, CVE-2021-41190's two types in one).
"""

import base64
import binascii
import re
from typing import Annotated, Final

import msgspec

from pyregistry.oci import media_types
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import DigestInvalid, ManifestInvalid, ManifestTypeUnsupported
from pyregistry.oci.json_text import MAX_VALUES, measure, read_strictly

MAX_DESCRIPTORS: Final = 2_000
MAX_URLS: Final = 16
MAX_DOCUMENT: Final = 64 * 1024 * 1024
"""Bytes of a stored manifest that are read: no registry takes one as large as that, whatever its limit is or was."""
MAX_ANNOTATIONS: Final = 256 * 1024
"""Bytes of annotations, as JSON, that a list of referrers shows of one manifest."""
_MAX_STORED_DEPTH: Final = 1_000
"""The decoder refuses more by itself."""

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}", re.ASCII)

_FIELDS = frozenset(
    {"schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject"}
    | {"annotations", "digest", "size", "urls", "data", "platform"}
)
_FOLDED_FIELDS = frozenset(field.casefold() for field in _FIELDS)

Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an image runs on; other fields are not looked at."""

    os: str | None = None
    architecture: str | None = None


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A descriptor of the image spec, with the fields that a registry looks at; `size` in bytes."""

    digest: str
    size: Size
    media_type: str = ""
    artifact_type: str = ""
    annotations: dict[str, str] | None = None
    urls: list[str] | None = None
    data: str | None = None
    platform: Platform | None = None

    @property
    def distributable(self) -> bool:
        """False for a layer that clients fetch elsewhere, so that it need not be here."""
        return not self.urls and self.media_type not in media_types.NON_DISTRIBUTABLE_LAYERS


class _Document(msgspec.Struct, frozen=True, rename="camel"):
    schema_version: int
    media_type: str | None = None
    artifact_type: str | None = None
    config: Descriptor | None = None
    layers: list[Descriptor] | None = None
    manifests: list[Descriptor] | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


class Manifest(msgspec.Struct, frozen=True):
    """What a manifest or index says, as far as a registry cares."""

    media_type: str
    blobs: tuple[Descriptor, ...]
    """Config and layers; empty for an index."""
    children: tuple[Descriptor, ...]
    """The `manifests` of an index; BuildKit's cache puts blobs there too."""
    subject: Descriptor | None
    artifact_type: str
    """As the referrers API shows it: an image without one has its config's media type; may be empty."""
    annotations: dict[str, str] | None
    """As the referrers API shows them: None also for more than MAX_ANNOTATIONS bytes of them."""

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
    """Check what a client wants to store.

    `content_type` is the request's header without parameters, None if there was none. Raises ManifestInvalid and
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
    manifest = _to_manifest(document, media_type, len(content))
    _check_descriptors(manifest)
    return manifest


def read_manifest(content: bytes) -> Manifest:
    """What a stored document says; its type comes from its bytes alone, so that a digest always has one type.

    Raises ManifestInvalid for bytes that are no manifest at all.
    """
    if len(content) > MAX_VALUES:  # fewer bytes cannot hold more values
        measure(content, _MAX_STORED_DEPTH)
    try:
        document = msgspec.json.decode(content, type=_Document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestInvalid(f"not a manifest: {error}") from error
    if document.schema_version != 2:  # schema 1 has no field of its own that this reader would miss
        raise ManifestInvalid("schemaVersion is 2")
    media_type = document.media_type or (
        media_types.OCI_INDEX if document.manifests is not None else media_types.OCI_MANIFEST
    )
    return _to_manifest(document, media_type, len(content))


def _to_manifest(document: _Document, media_type: str, size: int) -> Manifest:
    artifact_type = document.artifact_type or ""
    if not artifact_type and document.config is not None:
        artifact_type = document.config.media_type  # "Listing Referrers": an image without artifactType
    return Manifest(
        media_type=media_type,
        blobs=(*((document.config,) if document.config is not None else ()), *(document.layers or ())),
        children=tuple(document.manifests or ()),
        subject=document.subject,
        artifact_type=artifact_type,
        annotations=document.annotations if size <= MAX_ANNOTATIONS else shown_annotations(document.annotations),
    )


def shown_annotations(annotations: dict[str, str] | None) -> dict[str, str] | None:
    """Return what the referrers API shows of these; None for too many bytes."""
    return annotations if len(msgspec.json.encode(annotations)) <= MAX_ANNOTATIONS else None


def _decode(content: bytes) -> _Document:
    _check_spelling(read_strictly(content))
    try:
        # From the bytes again, as read_manifest does: what is accepted here must be readable later.
        return msgspec.json.decode(content, type=_Document)
    except msgspec.DecodeError as error:
        raise ManifestInvalid(str(error)) from error


def _check_spelling(value: object) -> None:
    # Go's JSON reader takes "Layers" for layers; this one does not, so the two would see different documents.
    if not isinstance(value, dict):
        return
    for key in value:
        if key not in _FIELDS and key.casefold() in _FOLDED_FIELDS:
            raise ManifestInvalid(f"the key {key[:40]!r} differs from a field of the spec only in case")
    for field in ("config", "subject"):
        _check_spelling(value.get(field))
    for field in ("layers", "manifests"):
        descriptors = value.get(field)
        for descriptor in descriptors if isinstance(descriptors, list) else ():
            _check_spelling(descriptor)


def _media_type_of(document: _Document, content_type: str | None) -> str:
    if document.schema_version == 1:
        raise ManifestInvalid("Docker schema 1 manifests are not supported; push the image with a newer client")
    if document.schema_version != 2:
        raise ManifestInvalid("schemaVersion is 2")
    stored = document.media_type or (
        media_types.OCI_INDEX if document.manifests is not None else media_types.OCI_MANIFEST
    )
    if stored not in media_types.SUPPORTED:
        raise ManifestInvalid("the document's mediaType is not one that this registry knows")
    # Only what the bytes say is stored, so a header that says something else would not come back.
    if content_type is not None and content_type != stored:
        raise ManifestInvalid(f"Content-Type is {content_type}, but the document is {stored}")
    return stored


def _check_shape(document: _Document, media_type: str) -> None:
    if document.manifests is not None and (document.layers is not None or document.config is not None):
        raise ManifestInvalid("a document has either manifests, or config and layers (CVE-2021-41190)")
    if media_type in media_types.INDEXES:
        if document.manifests is None:
            raise ManifestInvalid("an index has manifests")
    elif document.config is None or document.layers is None:
        raise ManifestInvalid("an image manifest has config and layers")
    if document.artifact_type and _MEDIA_TYPE.fullmatch(document.artifact_type) is None:
        raise ManifestInvalid("artifactType is a media type")


def _check_descriptors(manifest: Manifest) -> None:
    descriptors = [*manifest.blobs, *manifest.children]
    if len(descriptors) > MAX_DESCRIPTORS:
        raise ManifestInvalid(f"a manifest refers to at most {MAX_DESCRIPTORS} blobs and manifests")
    if manifest.subject is not None:
        descriptors.append(manifest.subject)
    for descriptor in descriptors:
        _check_descriptor(descriptor)


def _check_descriptor(descriptor: Descriptor) -> None:
    try:
        digest = Digest(descriptor.digest)
    except DigestInvalid as error:
        raise ManifestInvalid(f"a descriptor has a malformed digest: {error.detail}") from error
    if descriptor.media_type and _MEDIA_TYPE.fullmatch(descriptor.media_type) is None:
        raise ManifestInvalid(f"the mediaType of {digest} is not a media type")
    urls = descriptor.urls or ()
    if len(urls) > MAX_URLS or not all(url.startswith(("http://", "https://")) for url in urls):
        raise ManifestInvalid(f"{digest} has urls that are not http or https, or more than {MAX_URLS}")
    if descriptor.data is not None:
        _check_data(descriptor.data, digest, descriptor.size)


def _check_data(data: str, digest: Digest, size: int) -> None:
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ManifestInvalid(f"the data of {digest} is not base64") from error
    if len(content) != size or Digest.of(content, digest.algorithm) != digest:
        raise ManifestInvalid(f"the data of {digest} does not match its digest and size")
