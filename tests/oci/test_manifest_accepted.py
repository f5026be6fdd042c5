"""Documents that are taken, since Go's reader and the CNCF registry take them; and how what is odd in them is read."""

import base64
from typing import Any

import pytest

from pyregistry.oci.errors import ManifestInvalid
from pyregistry.oci.json_text import MAX_DEPTH
from pyregistry.oci.manifest import MAX_ARTIFACT_TYPE_BYTES, parse_manifest, read_manifest
from tests.builders import DOCKER_LIST, LAYER, OCI_INDEX, OCI_MANIFEST, descriptor, digest_of
from tests.oci.documents import Change, Document, encoded, image_document, index_document, nested


def _first_layer(**fields: Any) -> Change:
    return lambda document: document["layers"][0].update(fields)


def _document(**fields: Any) -> Change:
    return lambda document: document.update(fields)


def _renamed(name: str, other: str) -> Change:
    """Another key in the place of one, in the document or else in its descriptors."""

    def change(document: Document) -> None:
        for part in (document,) if name in document else (document["config"], *document["layers"]):
            part[other] = part.pop(name)

    return change


ANY_TEXT = {
    "with parameters": "text/plain; charset=utf-8",
    "without a slash": "sbom",
    "with a line end": "application/sbom\r\nX: y",
    "of 100,000 characters": "a/" + "b" * 100_000,
    "that is empty": "",
    "that is null": None,
}
B64 = base64.b64encode(b"one").decode()

ACCEPTED: dict[str, Change] = {
    "no mediaType": lambda document: document.pop("mediaType"),
    "a mediaType that is null": _document(mediaType=None),
    "a mediaType that is empty": _document(mediaType=""),
    "no layers": lambda document: document.pop("layers"),
    "layers that are null": _document(layers=None),
    "an empty list of layers": _document(layers=[]),
    "manifests that are null": _document(manifests=None),
    "an unknown field": _document(x={"Layers": 1}),
    "annotations whose keys look like fields": _document(annotations={"Layers": "x", "size": ""}),
    "annotations with any Unicode": _document(annotations={"\U0001f600": "\u0000\u2028"}),
    "annotations that are null": _document(annotations=None),
    "an annotation that is null": _document(annotations={"a": None, "b": '{"x":null}'}),
    "the largest size there is": _first_layer(size=2**63 - 1),
    "a size of 0": _first_layer(size=0),
    "a size that is null": _first_layer(size=None),
    "no size": lambda document: document["layers"][0].pop("size"),
    "a descriptor without mediaType": lambda document: document["layers"][0].pop("mediaType"),
    "a sha512 digest": _first_layer(**descriptor(b"x", LAYER, "sha512")),
    "urls of any scheme": _first_layer(urls=["http://a/b#c", "HTTPS://A", "ipfs://x", "urn:x:y", "//a/b", "c", ""]),
    "many urls": _first_layer(urls=["http://a"] * 10_000),
    "urls that are null": _first_layer(urls=None),
    "a url that is null": _first_layer(urls=[None]),
    "fifty thousand descriptors": _document(layers=[{"digest": digest_of(b"x")}] * 49_000),
    "data that is the content": lambda document: document["config"].update(data=base64.b64encode(b"{}").decode()),
    "data of another size": _first_layer(data=B64, size=4),
    "data with line ends": _first_layer(data=f"{B64[:2]}\r\n{B64[2:]}\n"),
    "data of an empty blob": _first_layer(**descriptor(b"", LAYER), data=""),
    "no data, as an empty string": _first_layer(data=""),
    "data that is null": _first_layer(data=None),
    "a platform that is null": _first_layer(platform=None),
    "a platform with unknown fields": _first_layer(platform={"os.features": [1], "variant": 5, "x": None}),
    "a subject that is not here": _document(subject=descriptor(b"elsewhere", OCI_MANIFEST)),
    "a subject that is null": _document(subject=None),
    "a subject that is empty": _document(subject={}),
    "a subject without a digest": _document(subject={"mediaType": "", "digest": "", "size": 0}),
    "a subject with wrong fields": _document(
        subject={"digest": digest_of(b"x"), "size": "1", "mediaType": 5, "data": [], "annotations": {"a": 1}, "urls": 0}
    ),
    "a subject with a platform that is none": _document(subject={"digest": digest_of(b"x"), "platform": "linux"}),
    "nesting to the limit, a value innermost": _document(x=nested(MAX_DEPTH - 1, 1)),
    "nesting to the limit, nothing innermost": _document(x=nested(MAX_DEPTH - 2, [])),
    "upper-case layers": _renamed("layers", "Layers"),
    "an upper-case config": _renamed("config", "CONFIG"),
    "an upper-case schema version": _renamed("schemaVersion", "SCHEMAVERSION"),
    "a lower-case media type": _renamed("mediaType", "mediatype"),
    "the long s, which Go folds": _renamed("layers", "layer\u017f"),
    "an upper-case digest": _renamed("digest", "DIGEST"),
    "an upper-case size": _renamed("size", "SiZe"),
    "an upper-case subject": _document(Subject={"Digest": digest_of(b"x"), "platform": {"OS": "linux"}}),
}
ACCEPTED |= {f"an artifactType {name}": _document(artifactType=text) for name, text in ANY_TEXT.items()}
ACCEPTED |= {f"a layer's mediaType {name}": _first_layer(mediaType=text) for name, text in ANY_TEXT.items()}
ACCEPTED |= {f"a layer's artifactType {name}": _first_layer(artifactType=text) for name, text in ANY_TEXT.items()}


@pytest.mark.parametrize("change", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_an_image_may_have(change: Change) -> None:
    document = image_document()
    change(document)
    manifest = parse_manifest(encoded(document), OCI_MANIFEST)
    assert manifest == read_manifest(encoded(document))
    assert manifest.media_type == OCI_MANIFEST
    layers = [layers for key, layers in document.items() if key.lower() in {"layers", "layer\u017f"}]
    digests = [part.get("digest") or part["DIGEST"] for part in (layers and layers[0]) or ()]
    assert [blob.digest for blob in manifest.blobs] == [digest_of(b"{}"), *digests]


ACCEPTED_INDEXES: dict[str, Change] = {
    "manifests that are null": _document(manifests=None),
    "an empty list of manifests": _document(manifests=[]),
    "manifests that are null, and no mediaType": _document(manifests=None, mediaType=None),
    "no manifests": lambda document: document.pop("manifests"),
    "layers that are null": _document(layers=None),
    "a config that is null": _document(config=None),
    "an artifactType": _document(artifactType="text/plain; charset=utf-8"),
    "fifty thousand manifests": _document(manifests=[{"digest": digest_of(b"x")}] * 49_000),
    "upper-case manifests": lambda document: document.update(Manifests=document.pop("manifests")),
}


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
@pytest.mark.parametrize("change", ACCEPTED_INDEXES.values(), ids=ACCEPTED_INDEXES.keys())
def test_an_index_may_have(change: Change, media_type: str) -> None:
    document = index_document() | {"mediaType": media_type}
    change(document)
    manifest = parse_manifest(encoded(document), None)
    assert manifest == read_manifest(encoded(document))
    assert manifest.media_type == (document["mediaType"] or OCI_INDEX)
    assert len(manifest.children) == len(document.get("manifests", document.get("Manifests")) or ())


def test_the_platform_of_a_child_is_read_as_go_reads_it() -> None:
    document = index_document()
    document["manifests"][0]["Platform"] = document["manifests"][0].pop("platform") | {"variant": None, "OS": "plan9"}
    del document["manifests"][0]["Platform"]["os"]
    platform = parse_manifest(encoded(document), None).children[0].platform
    assert platform is not None
    assert (platform.os, platform.architecture, platform.variant) == ("plan9", "arm64", None)


@pytest.mark.parametrize("key", ["size", "annotations", "urls", "mediaType", "layers", "manifests"])
def test_null_leaves_a_field_empty(key: str) -> None:
    document = image_document()
    (document if key in {"layers", "manifests"} else document["layers"][0])[key] = None
    manifest = parse_manifest(encoded(document), OCI_MANIFEST)
    assert manifest.children == ()
    assert all((blob.size, blob.annotations, blob.urls) for blob in manifest.blobs[2:])
    if key != "layers":
        assert getattr(manifest.blobs[1], "media_type" if key == "mediaType" else key, None) in {0, "", None, 3}


def test_an_annotation_that_is_null_is_shown_as_an_empty_string() -> None:
    document = image_document() | {"annotations": {"a": None, "b": "null", "c": "x\u20acy"}}
    assert parse_manifest(encoded(document), OCI_MANIFEST).annotations == {"a": "", "b": "null", "c": "x\u20acy"}


@pytest.mark.parametrize("subject", [{}, {"digest": ""}, {"digest": None, "size": 1}])
def test_an_empty_subject_is_none(subject: object) -> None:
    assert parse_manifest(encoded(image_document() | {"subject": subject}), OCI_MANIFEST).subject is None


@pytest.mark.parametrize(
    ("artifact_type", "shown"),
    [
        ("text/plain; charset=utf-8", True),
        ("\x1b[2J", True),
        ("x" * (MAX_ARTIFACT_TYPE_BYTES - 2), True),
        ("x" * (MAX_ARTIFACT_TYPE_BYTES - 1), False),
        ("\x1b" * ((MAX_ARTIFACT_TYPE_BYTES - 2) // 6), True),
        ("\x1b" * (MAX_ARTIFACT_TYPE_BYTES // 6 + 1), False),
        ("\u20ac" * (MAX_ARTIFACT_TYPE_BYTES // 3), False),
        ("x" * 1_000_000, False),
    ],
)
def test_an_artifact_type_is_shown_up_to_a_limit(artifact_type: str, shown: bool) -> None:
    document = image_document() | {"artifactType": artifact_type}
    assert parse_manifest(encoded(document), OCI_MANIFEST).artifact_type == (artifact_type if shown else "")
    document["config"]["mediaType"] = document.pop("artifactType")
    assert parse_manifest(encoded(document), OCI_MANIFEST).artifact_type == (artifact_type if shown else "")


STORED_ONLY: dict[str, Change] = {
    "a key in other letters next to it": _document(Layers=image_document()["layers"]),
    "an empty list of manifests": _document(manifests=[]),
    "a negative size": _first_layer(size=-1),
    "an artifact type that is a number": _document(artifactType=5),
    "a subject that is a string": _document(subject="x"),
    "annotations that are a list": _document(annotations=["a"]),
    "a number that is too large": _document(x=1e400),
    "a number of 5,000 digits": _document(x="digits"),
    "data of another content": _first_layer(data=base64.b64encode(b"two").decode()),
    "nesting of 100 levels": _document(x=nested(100, 1)),
}


@pytest.mark.parametrize("change", STORED_ONLY.values(), ids=STORED_ONLY.keys())
def test_a_stored_document_may_have_what_a_pushed_one_may_not(change: Change) -> None:
    document = image_document()
    change(document)
    content = encoded(document).replace(b"Infinity", b"1e400").replace(b'"digits"', b"9" * 5_000)
    with pytest.raises(ManifestInvalid):
        parse_manifest(content, None)
    assert [blob.digest for blob in read_manifest(content).blobs] == [
        digest_of(blob) for blob in (b"{}", b"one", b"two")
    ]


AMBIGUOUS: dict[str, Change] = {
    "layers": _document(Layers=[]),
    "config": _document(ConfiG=None),
    "digest": _first_layer(DIGEST=digest_of(b"two")),
    "size with the long s": _first_layer(**{"\u017fize": 3}),
    "platform": _first_layer(platform={"os": "a", "OS": "b"}),
    "subject": _document(subject=descriptor(b"x", OCI_MANIFEST) | {"Digest": digest_of(b"y")}),
}


@pytest.mark.parametrize("change", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_two_keys_that_differ_only_in_their_letters_are_refused_and_noted_in_what_is_stored(change: Change) -> None:
    document = image_document()
    assert not read_manifest(encoded(document)).is_ambiguous
    change(document)
    with pytest.raises(ManifestInvalid, match="different case"):
        parse_manifest(encoded(document), OCI_MANIFEST)
    assert read_manifest(encoded(document)).is_ambiguous
