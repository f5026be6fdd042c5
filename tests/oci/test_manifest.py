"""Manifests: what is understood of a document, and which documents are accepted."""

import json

import pytest

from pyregistry.oci import media_types
from pyregistry.oci.errors import ManifestInvalid, ManifestTypeUnsupported
from pyregistry.oci.manifest import parse_manifest, read_manifest
from tests.builders import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    EMPTY_JSON,
    IMAGE_CONFIG,
    LAYER,
    OCI_INDEX,
    OCI_MANIFEST,
    artifact,
    digest_of,
    image,
    index,
)
from tests.oci.documents import Document, encoded, image_document, index_document

TYPES = [
    (OCI_MANIFEST, image_document() | {"mediaType": OCI_MANIFEST}, False),
    (DOCKER_MANIFEST, image_document() | {"mediaType": DOCKER_MANIFEST}, False),
    (OCI_INDEX, index_document() | {"mediaType": OCI_INDEX}, True),
    (DOCKER_LIST, index_document() | {"mediaType": DOCKER_LIST}, True),
]


@pytest.mark.parametrize("with_content_type", [True, False])
@pytest.mark.parametrize(("media_type", "document", "is_index"), TYPES, ids=[row[0] for row in TYPES])
def test_each_supported_type_is_accepted_with_or_without_its_content_type(
    media_type: str, document: Document, is_index: bool, with_content_type: bool
) -> None:
    manifest = parse_manifest(encoded(document), media_type if with_content_type else None)
    assert (manifest.media_type, manifest.is_index) == (media_type, is_index)


def test_an_image_refers_to_its_config_and_then_its_layers() -> None:
    manifest = parse_manifest(image(b"one", b"two").content, OCI_MANIFEST)
    assert [blob.digest for blob in manifest.blobs] == [digest_of(blob) for blob in (b"{}", b"one", b"two")]
    assert [blob.size for blob in manifest.blobs] == [2, 3, 3]
    assert [blob.media_type for blob in manifest.blobs] == [IMAGE_CONFIG, LAYER, LAYER]
    assert manifest.children == ()


def test_an_index_refers_to_its_manifests_and_to_no_blob() -> None:
    child = image()
    manifest = parse_manifest(index(child).content, OCI_INDEX)
    assert [descriptor.digest for descriptor in manifest.children] == [child.digest]
    assert manifest.blobs == ()


def test_an_image_without_artifact_type_has_that_of_its_config() -> None:
    assert parse_manifest(image().content, OCI_MANIFEST).artifact_type == IMAGE_CONFIG


def test_an_artifact_has_its_own_type_and_not_that_of_its_config() -> None:
    pushed = artifact(artifact_type="application/vnd.test.signature")
    assert json.loads(pushed.content)["config"]["mediaType"] == EMPTY_JSON
    assert parse_manifest(pushed.content, OCI_MANIFEST).artifact_type == "application/vnd.test.signature"


def test_an_index_without_artifact_type_has_none() -> None:
    assert parse_manifest(index(image()).content, OCI_INDEX).artifact_type == ""


def test_the_subject_and_the_annotations_are_those_of_the_document() -> None:
    subject = image()
    manifest = parse_manifest(artifact(subject, annotations={"a": "b"}).content, OCI_MANIFEST)
    assert manifest.subject is not None
    assert (manifest.subject.digest, manifest.subject.size) == (subject.digest, len(subject.content))
    assert manifest.annotations == {"a": "b"}


def test_an_index_may_have_a_subject() -> None:
    subject = image()
    manifest = parse_manifest(index(image(), subject=subject.descriptor()).content, OCI_INDEX)
    assert manifest.subject is not None
    assert manifest.subject.digest == subject.digest


@pytest.mark.parametrize("media_type", sorted(media_types.NON_DISTRIBUTABLE_LAYERS))
def test_a_layer_of_a_type_that_clients_never_push_need_not_be_here(media_type: str) -> None:
    document = image_document()
    document["layers"][0]["mediaType"] = media_type
    manifest = parse_manifest(encoded(document), OCI_MANIFEST)
    assert [blob.distributable for blob in manifest.blobs] == [True, False, True]


def test_a_layer_with_urls_need_not_be_here() -> None:
    document = image_document()
    document["layers"][1]["urls"] = ["https://example.com/layer"]
    document["layers"][0]["urls"] = []
    manifest = parse_manifest(encoded(document), OCI_MANIFEST)
    assert [blob.distributable for blob in manifest.blobs] == [True, True, False]


@pytest.mark.parametrize("content_type", [None, OCI_MANIFEST])
def test_an_image_without_media_type_is_an_oci_image(content_type: str | None) -> None:
    document = image_document()
    del document["mediaType"]
    assert parse_manifest(encoded(document), content_type).media_type == OCI_MANIFEST


@pytest.mark.parametrize("content_type", [None, OCI_INDEX])
def test_an_index_without_media_type_is_an_oci_index(content_type: str | None) -> None:
    document = index_document()
    del document["mediaType"]
    assert parse_manifest(encoded(document), content_type).media_type == OCI_INDEX


OTHER_TYPES = ["application/json", "application/octet-stream", "text/plain", "", "*/*", OCI_MANIFEST.upper(), "\n"]


@pytest.mark.parametrize("content_type", OTHER_TYPES)
def test_a_content_type_that_is_no_manifest_type_is_unsupported(content_type: str) -> None:
    with pytest.raises(ManifestTypeUnsupported):
        parse_manifest(image().content, content_type)


MISMATCHES = [(OCI_MANIFEST, DOCKER_MANIFEST), (DOCKER_MANIFEST, OCI_MANIFEST), (OCI_MANIFEST, OCI_INDEX)]


@pytest.mark.parametrize(("in_document", "content_type"), MISMATCHES)
def test_a_content_type_that_differs_from_the_document_is_refused(in_document: str, content_type: str) -> None:
    with pytest.raises(ManifestInvalid, match="Content-Type"):
        parse_manifest(encoded(image_document() | {"mediaType": in_document}), content_type)


def test_a_docker_content_type_for_a_document_without_media_type_is_refused() -> None:
    document = image_document()
    del document["mediaType"]
    with pytest.raises(ManifestInvalid, match="Content-Type"):
        parse_manifest(encoded(document), DOCKER_MANIFEST)


SCHEMA1 = {"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [{"blobSum": digest_of(b"x")}], "history": []}


@pytest.mark.parametrize("content_type", sorted(media_types.SCHEMA1))
def test_schema_1_is_refused_by_its_content_type(content_type: str) -> None:
    with pytest.raises(ManifestInvalid, match="schema 1"):
        parse_manifest(encoded(SCHEMA1), content_type)


@pytest.mark.parametrize("content_type", [None, OCI_MANIFEST])
def test_schema_1_is_refused_by_its_schema_version(content_type: str | None) -> None:
    with pytest.raises(ManifestInvalid, match="schema 1"):
        parse_manifest(encoded(SCHEMA1), content_type)


def test_a_stored_schema_1_image_is_no_manifest() -> None:
    with pytest.raises(ManifestInvalid):
        read_manifest(encoded(SCHEMA1))


STORED_TYPES = [
    ("its media type", image_document() | {"mediaType": DOCKER_MANIFEST}, DOCKER_MANIFEST),
    ("layers and no media type", {**image_document(), "mediaType": None}, OCI_MANIFEST),
    ("manifests and no media type", {**index_document(), "mediaType": None}, OCI_INDEX),
    ("an empty media type and manifests", {**index_document(), "mediaType": ""}, OCI_INDEX),
    ("manifests that are null", {"schemaVersion": 2, "manifests": None}, OCI_INDEX),
    (
        "manifests that are null next to a config",
        {**image_document(), "mediaType": "", "manifests": None},
        OCI_MANIFEST,
    ),
    ("manifests in upper case", {"schemaVersion": 2, "MANIFESTS": []}, OCI_INDEX),
    ("nothing", {"schemaVersion": 2}, OCI_MANIFEST),
]


@pytest.mark.parametrize(
    ("document", "media_type"), [row[1:] for row in STORED_TYPES], ids=[r[0] for r in STORED_TYPES]
)
def test_the_type_of_a_stored_document_comes_from(document: object, media_type: str) -> None:
    assert read_manifest(encoded(document)).media_type == media_type


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"schemaVersion": 2', b'{"schemaVersion": "2"}', b"[" * 100_000],
)
def test_stored_bytes_that_are_no_manifest_are_refused(content: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        read_manifest(content)
