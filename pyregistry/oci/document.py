"""A manifest's JSON, decoded as Go does: documents of the CNCF registry have the same meaning here.

Go matches keys without regard to case, and `null` leaves a field empty. Almost every document has only the spec's keys,
and is decoded directly. Any other is rewritten first: with the spec's keys, without unknown members and null.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from pyregistry.oci import media_types
from pyregistry.oci.errors import ManifestInvalid

Size = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""Negative only in documents that another registry stored."""


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """The system that an image runs on."""

    os: str | None = None
    architecture: str | None = None
    variant: object = None


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A descriptor of the image spec, with the fields that a registry uses; `size` in bytes, as claimed."""

    digest: str
    size: Size = 0
    media_type: str = ""
    artifact_type: str = ""
    annotations: dict[str, str] | None = None
    urls: list[str] | None = None
    data: str | None = None
    platform: Platform | None = None

    @property
    def distributable(self) -> bool:
        """False for a layer that clients fetch elsewhere, and that need not be here."""
        return not self.urls and self.media_type not in media_types.NON_DISTRIBUTABLE_LAYERS

    @property
    def may_be_manifest(self) -> bool:
        """False for another media type; its spelling may differ from the spec's."""
        base = self.media_type.partition(";")[0].strip().lower()
        return not base or base in media_types.SUPPORTED


class _Platform(Platform, frozen=True, forbid_unknown_fields=True):
    features: object = None
    os_version: object = msgspec.field(default=None, name="os.version")
    os_features: object = msgspec.field(default=None, name="os.features")


class _Descriptor(Descriptor, frozen=True, forbid_unknown_fields=True):
    platform: _Platform | None = None


class Subject(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The descriptor of a subject, of which only the digest is used."""

    digest: str
    size: object = None
    media_type: object = None
    artifact_type: object = None
    annotations: object = None
    urls: object = None
    data: object = None
    platform: object = None


class Document(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A manifest or an index, with the fields that a registry uses."""

    schema_version: int
    media_type: str | None = None
    artifact_type: str | None = None
    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None
    manifests: list[_Descriptor] | msgspec.UnsetType | None = msgspec.UNSET
    subject: Subject | None = None
    annotations: dict[str, str] | None = None

    @property
    def children(self) -> list[_Descriptor] | None:
        """The `manifests`; None if null or absent."""
        return None if self.manifests is msgspec.UNSET else self.manifests

    @property
    def type(self) -> str:
        """The media type, from the bytes alone, so that a digest always has one type."""
        if self.media_type:
            return self.media_type
        # "manifests": null is the empty list of an index written in Go, but with a config it means nothing.
        is_index = self.children is not None or (self.manifests is None and self.config is None)
        return media_types.OCI_INDEX if is_index else media_types.OCI_MANIFEST


_STRUCTS = (_Platform, _Descriptor, Subject, Document)
_FIELDS: Final[Mapping[str, str]] = {
    field.encode_name.lower(): field.encode_name for struct in _STRUCTS for field in msgspec.structs.fields(struct)
}
_KEYS: Final[Mapping[type[msgspec.Struct], frozenset[str]]] = {
    struct: frozenset(field.encode_name for field in msgspec.structs.fields(struct)) for struct in _STRUCTS
}
_OBJECTS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "config": _Descriptor,
    "subject": Subject,
    "platform": _Platform,
}
_LISTS = frozenset({"layers", "manifests"})
_DESCRIPTORS = msgspec.json.Decoder(list[_Descriptor])
_STRINGS: Final[Mapping[str, "msgspec.json.Decoder[Any]"]] = {
    "annotations": msgspec.json.Decoder(dict[str, str | None]),
    "urls": msgspec.json.Decoder(list[str | None]),
}
_NULL = b"null"
_UNREAD_BY_OTHERS: Final = ("subject", "artifactType", "annotations")
"""Fields that the CNCF registry ignores, at least in Docker's documents: they may have any value."""
_DECODER = msgspec.json.Decoder(Document)


def decode_document(content: bytes, *, leniently: bool = False) -> tuple[Document, str | None]:
    """Return a document, and a key that one object has twice if case is ignored.

    Raises ManifestInvalid. With `leniently` invalid fields that no other registry reads count as absent.
    """
    try:
        try:
            return _DECODER.decode(content), None
        except msgspec.ValidationError:
            rewriting = _Rewriting()
            members = rewriting.members(content, Document)
            try:
                return _DECODER.decode(_joined(members)), rewriting.double
            except msgspec.ValidationError:
                if not leniently:
                    raise
            for name in _UNREAD_BY_OTHERS:
                members.pop(name, None)
            return _DECODER.decode(_joined(members)), rewriting.double
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestInvalid(f"not a manifest: {error}") from error


def _go_name(key: str) -> str | None:
    """Return the field that Go matches with a key; None if it is not one of a manifest."""
    # Only two letters outside of ASCII match one of ASCII: the Kelvin sign, which lower() handles, and the long s.
    return _FIELDS.get(key.lower().replace("\u017f", "s"))


class _Rewriting:
    """Rewrites one document."""

    def __init__(self) -> None:
        self.double: str | None = None

    def members(self, raw: bytes, struct: type[msgspec.Struct]) -> dict[str, bytes]:
        """Return the known members of an object by the spec's keys; of two that Go matches, the last."""
        found: dict[str, bytes] = {}
        known = _KEYS[struct]
        for key, member in msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).items():
            name = key if key in known else _go_name(key)
            if name is None or name not in known:
                continue
            if name in found:
                self.double = key
            found[name] = self._member(name, bytes(member))
        # The presence of `manifests` matters only for the type of a document.
        return {name: member for name, member in found.items() if member != _NULL or name == "manifests"}

    def _member(self, name: str, raw: bytes) -> bytes:
        if raw == _NULL:
            return raw
        if name in _OBJECTS:
            written = self._try(raw, _OBJECTS[name])
            # Go by default writes an absent descriptor as an empty one.
            return _NULL if name == "subject" and raw.startswith(b"{") and b'"digest"' not in written else written
        if name in _LISTS and raw.startswith(b"["):
            return self._descriptors(raw)
        if name in _STRINGS and _NULL in raw:
            return _with_empty_strings(raw, _STRINGS[name])
        return raw

    def _descriptors(self, raw: bytes) -> bytes:
        try:
            _DESCRIPTORS.decode(raw)
        except msgspec.ValidationError:
            descriptors = msgspec.json.decode(raw, type=list[msgspec.Raw])
            return b"[%b]" % b",".join(self._try(bytes(each), _Descriptor) for each in descriptors)
        return raw  # as almost always: rewriting fifty thousand takes five times as long

    def _try(self, raw: bytes, struct: type[msgspec.Struct]) -> bytes:
        # Values that are not objects are left to the decoder, whose error has their position.
        return _joined(self.members(raw, struct)) if raw.startswith(b"{") else raw


def _with_empty_strings(raw: bytes, decoder: "msgspec.json.Decoder[Any]") -> bytes:
    """Replace each null in a list or an object of strings with an empty string."""
    try:
        strings = decoder.decode(raw)
    except msgspec.ValidationError:  # the decoder of the document has a better error
        return raw
    if isinstance(strings, list):
        return msgspec.json.encode([each or "" for each in strings])
    return msgspec.json.encode({key: each or "" for key, each in strings.items()})


def _joined(members: Mapping[str, bytes]) -> bytes:
    return b"{%b}" % b",".join(b"%b:%b" % (msgspec.json.encode(key), member) for key, member in members.items())
