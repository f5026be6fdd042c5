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
    | {"digest", "size", "urls", "data", "platform", "Layers", "SIZE", "x"}
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


def _parse(content: bytes, content_type: str | None) -> Manifest | None:
    with suppress(ManifestInvalid, ManifestTypeUnsupported):
        return parse_manifest(content, content_type)
    return None
