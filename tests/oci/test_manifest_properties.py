"""Whatever bytes arrive: an answer of the error table or a manifest, and what is accepted can be read again."""

import json
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pyregistry.oci import media_types
from pyregistry.oci.errors import ManifestInvalid, ManifestTypeUnsupported
from pyregistry.oci.manifest import Manifest, parse_manifest, read_manifest
from tests.builders import IMAGE_CONFIG, LAYER, OCI_MANIFEST, descriptor
from tests.oci.documents import encoded

FIELDS = sorted(
    {"schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations"}
    | {"digest", "size", "urls", "data", "platform", "Layers", "SIZE", "mediatype", "dige\u017ft", "x"}
)
CONTENT_TYPES = st.one_of(st.none(), st.sampled_from(sorted(media_types.SUPPORTED | media_types.SCHEMA1)), st.text())

TEXT = st.text(st.characters(), max_size=4)  # with halves of surrogate pairs, unlike the default
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, 2, -1, 2**63, 10**400]),
    st.integers(),
    st.floats(),
    TEXT,
    st.sampled_from([*sorted(media_types.SUPPORTED), "sha256:" + "0" * 64, "https://example.com"]),
)
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text(max_size=5)), inner, max_size=5),
    ),
    max_leaves=6,
)
DESCRIPTORS = st.builds(descriptor, st.binary(max_size=5), st.just(LAYER))
NEARLY_MANIFESTS = st.fixed_dictionaries(
    {"schemaVersion": st.sampled_from([2, 2, 2, 1])},
    optional={
        "mediaType": st.sampled_from(sorted(media_types.SUPPORTED)),
        "config": st.one_of(DESCRIPTORS, st.just(descriptor(b"{}", IMAGE_CONFIG)), JSON_VALUES),
        "layers": st.one_of(st.lists(DESCRIPTORS, max_size=3), JSON_VALUES),
        "manifests": st.one_of(st.lists(DESCRIPTORS, max_size=3), JSON_VALUES),
        "subject": st.one_of(DESCRIPTORS, JSON_VALUES),
        "annotations": st.one_of(st.dictionaries(TEXT, TEXT, max_size=2), JSON_VALUES),
        "artifactType": st.one_of(st.just("application/vnd.test"), JSON_VALUES),
        "x": JSON_VALUES,
    },
)
IMAGES = st.fixed_dictionaries(
    {
        "schemaVersion": st.just(2),
        "mediaType": st.just(OCI_MANIFEST),
        "config": DESCRIPTORS,
        "layers": st.lists(DESCRIPTORS, max_size=3),
    },
    optional={
        "subject": DESCRIPTORS,
        "annotations": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
        "x": st.recursive(st.one_of(st.text(), st.integers(), st.none()), lambda inner: st.lists(inner, max_size=3)),
    },
)


@given(st.binary(max_size=200), CONTENT_TYPES)
@settings(max_examples=200)
def test_arbitrary_bytes_are_refused_and_nothing_else_happens(content: bytes, content_type: str | None) -> None:
    assert _parse(content, content_type) is None


@given(st.one_of(JSON_VALUES, NEARLY_MANIFESTS), CONTENT_TYPES, st.booleans())
@settings(max_examples=250)
def test_arbitrary_json_is_refused_or_read_again_as_it_was_understood(
    document: object, content_type: str | None, ascii_only: bool
) -> None:
    content = json.dumps(document, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    manifest = _parse(content, content_type)
    assert manifest is None or read_manifest(content) == manifest


@given(IMAGES, st.data())
def test_one_changed_byte_is_refused_or_read_again_as_it_was_understood(
    document: dict[str, Any], data: st.DataObject
) -> None:
    content = bytearray(encoded(document))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    manifest = _parse(bytes(content), None)
    assert manifest is None or read_manifest(bytes(content)) == manifest


@given(IMAGES)
def test_every_image_of_the_spec_is_accepted_and_says_what_it_said(document: dict[str, Any]) -> None:
    manifest = parse_manifest(encoded(document), OCI_MANIFEST)
    assert [blob.digest for blob in manifest.blobs] == [
        described["digest"] for described in (document["config"], *document["layers"])
    ]
    assert (manifest.subject and manifest.subject.digest) == document.get("subject", {}).get("digest")
    assert manifest.annotations == document.get("annotations")


@given(st.one_of(st.binary(max_size=200), JSON_VALUES.map(encoded), NEARLY_MANIFESTS.map(encoded)))
@settings(max_examples=200)
def test_a_stored_document_is_read_or_is_no_manifest(content: bytes) -> None:
    with suppress(ManifestInvalid):
        assert read_manifest(content).media_type


def _fold(key: str) -> str:
    """As Go's encoding/json compares keys: letter by letter, by Unicode's simple folding."""
    return "".join({"\u017f": "s", "\u212a": "k"}.get(letter, letter.lower()) for letter in key)


@st.composite
def _other_keys(draw: st.DrawFn, value: object) -> object:
    """The same value with keys in other letters, where they are not annotations."""
    if isinstance(value, list):
        return [draw(_other_keys(each)) for each in value]
    if not isinstance(value, dict):
        return value
    varied = {}
    for key, member in value.items():
        letters = [draw(st.sampled_from([letter, letter.upper(), *("\u017f" * (letter == "s"))])) for letter in key]
        varied["".join(letters)] = member if key == "annotations" else draw(_other_keys(member))
    return varied


def _as_go(value: object) -> object:
    """A small model of Go: keys folded, null as if it were not there."""
    if isinstance(value, list):
        return [_as_go(each) for each in value]
    if not isinstance(value, dict):
        return value
    fields = {_fold(field): field for field in FIELDS if field not in {"Layers", "SIZE", "mediatype", "dige\u017ft"}}
    folded = {fields.get(_fold(key), key): (key, member) for key, member in value.items()}
    return {
        name: member if name == "annotations" else _as_go(member)
        for name, (_, member) in folded.items()
        if member is not None
    }


@given(st.data(), st.booleans())
def test_a_document_with_keys_in_other_letters_says_what_go_reads(data: st.DataObject, ascii_only: bool) -> None:
    document = data.draw(IMAGES)
    if data.draw(st.booleans()):
        document |= {"subject": None, "x": {"Layers": [], "layers": 1}}
    varied = data.draw(_other_keys(document))
    content = json.dumps(varied, ensure_ascii=ascii_only).encode()
    expected = parse_manifest(encoded(_as_go(varied)), OCI_MANIFEST)
    assert parse_manifest(content, OCI_MANIFEST) == read_manifest(content) == expected


@given(IMAGES)
def test_an_unknown_field_changes_nothing_of_what_is_read(document: dict[str, Any]) -> None:
    assert read_manifest(encoded(document | {"y": [{"layers": None}]})) == read_manifest(encoded(document))


def _parse(content: bytes, content_type: str | None) -> Manifest | None:
    with suppress(ManifestInvalid, ManifestTypeUnsupported):
        return parse_manifest(content, content_type)
    return None
