"""Documents that are refused: what two JSON readers could understand differently, and what breaks a limit."""

import base64
import json
from typing import Any

import pytest

from pyregistry.oci.errors import ManifestInvalid
from pyregistry.oci.json_text import MAX_DEPTH
from pyregistry.oci.manifest import parse_manifest
from tests.builders import IMAGE_CONFIG, OCI_MANIFEST, descriptor, digest_of
from tests.oci.documents import Change, encoded, image_document, index_document, nested

IMAGE = encoded(image_document())
HEAD = b'{"schemaVersion": 2, '
TAIL = IMAGE[len(HEAD) :]
assert IMAGE.startswith(HEAD)

REFUSED_BYTES = {
    "nothing": b"",
    "white space": b" \n",
    "one brace": b"{",
    "an empty object": b"{}",
    "a list": b"[" + IMAGE + b"]",
    "a string": json.dumps(IMAGE.decode()).encode(),
    "null": b"null",
    "UTF-16": IMAGE.decode().encode("utf-16"),
    "UTF-16 without a mark, big end first": IMAGE.decode().encode("utf-16-be"),
    "UTF-32": IMAGE.decode().encode("utf-32"),
    "a byte order mark": b"\xef\xbb\xbf" + IMAGE,
    "a vertical tab before": b"\x0b" + IMAGE,
    "a no-break space before": "\u00a0".encode() + IMAGE,
    "NUL behind": IMAGE + b"\0",
    "a second document behind": IMAGE + IMAGE,
    "a comment": b"/* */" + IMAGE,
    "single quotes": IMAGE.replace(b'"', b"'"),
    "a comma too many": IMAGE[:-1] + b",}",
    "bytes that are not UTF-8": HEAD + b'"x": "\xff", ' + TAIL,
    "an overlong slash": HEAD + b'"x": "\xc0\xaf", ' + TAIL,
    "a surrogate in UTF-8": HEAD + b'"x": "\xed\xa0\x80", ' + TAIL,
    "half a surrogate pair": HEAD + b'"x": "\\ud800", ' + TAIL,
    "half a surrogate pair in an annotation": HEAD + b'"annotations": {"a": "\\udc00"}, ' + TAIL,
    "a control character in a string": HEAD + b'"x": "\n", ' + TAIL,
    "NaN": HEAD + b'"x": NaN, ' + TAIL,
    "Infinity": HEAD + b'"x": Infinity, ' + TAIL,
    "minus Infinity": HEAD + b'"x": [-Infinity], ' + TAIL,
    "an integer of 5,000 digits": HEAD + b'"x": ' + b"9" * 5_000 + b", " + TAIL,
    "a leading zero": HEAD + b'"x": 01, ' + TAIL,
    "the same key twice": HEAD + b'"schemaVersion": 2, ' + TAIL,
    "layers twice": HEAD + b'"layers": [], ' + TAIL,
    "the same unknown key twice": HEAD + b'"x": 1, "x": 1, ' + TAIL,
    "the same key twice, once with escapes": HEAD + b'"\\u0073chemaVersion": 2, ' + TAIL,
    "the same key twice, deep inside": HEAD + b'"x": [{"a": 1, "a": 1}], ' + TAIL,
    "a hundred thousand brackets": b"[" * 100_000,
    "a hundred thousand braces": b'{"a":' * 100_000,
    "a hundred thousand brackets inside": HEAD + b'"x": ' + b"[" * 100_000 + b"]" * 100_000 + b", " + TAIL,
    "schema version 1 as a fraction": IMAGE.replace(HEAD, b'{"schemaVersion": 2.0, '),
}


@pytest.mark.parametrize("content", REFUSED_BYTES.values(), ids=REFUSED_BYTES.keys())
@pytest.mark.parametrize("content_type", [None, OCI_MANIFEST])
def test_a_manifest_may_not_be(content: bytes, content_type: str | None) -> None:
    with pytest.raises(ManifestInvalid) as refused:
        parse_manifest(content, content_type)
    assert refused.value.detail


def _first_layer(**fields: Any) -> Change:
    return lambda document: document["layers"][0].update(fields)


def _document(**fields: Any) -> Change:
    return lambda document: document.update(fields)


B64 = base64.b64encode(b"one").decode()

REFUSED_IMAGES: dict[str, Change] = {
    "no schema version": lambda document: document.pop("schemaVersion"),
    "schema version 1": _document(schemaVersion=1),
    "schema version 3": _document(schemaVersion=3),
    "schema version 0": _document(schemaVersion=0),
    "a schema version in words": _document(schemaVersion="2"),
    "a schema version that is true": _document(schemaVersion=True),
    "no config": lambda document: document.pop("config"),
    "a config that is null": _document(config=None),
    "a config that is null, and no layers": _document(config=None, layers=None),
    "a config without a digest": lambda document: document["config"].pop("digest"),
    "layers that are an object": _document(layers={}),
    "a layer that is a string": _document(layers=[digest_of(b"one")]),
    "a layer that is null": _document(layers=[None]),
    "a config that is a list": _document(config=[]),
    "manifests next to the layers (CVE-2021-41190)": _document(manifests=[]),
    "an unknown media type": _document(mediaType="application/vnd.test+json"),
    "the media type of schema 1": _document(mediaType="application/vnd.docker.distribution.manifest.v1+json"),
    "the media type of an index": _document(mediaType="application/vnd.oci.image.index.v1+json"),
    "a media type that is a number": _document(mediaType=1),
    "an artifact type that is a number": _document(artifactType=1),
    "a media type of a layer that is a number": _first_layer(mediaType=1),
    "layers twice in other letters": _document(Layers=[]),
    "a layer's digest twice in other letters": _first_layer(Digest=digest_of(b"other")),
    "layers in other letters that are null": _document(LAYERS=None),
    "manifests in other letters next to the layers": _document(Manifests=[]),
    "a digest that is null": _first_layer(digest=None),
    "a digest that is empty": _first_layer(digest=""),
    "a url that is a number": _first_layer(urls=[1]),
    "an annotation that is a number": _document(annotations={"a": 1}),
    "annotations that are a list": _document(annotations=["a"]),
    "a digest that is none": _first_layer(digest="sha256:abc"),
    "a digest in upper case": _first_layer(digest=digest_of(b"one").upper()),
    "a digest of another algorithm": _first_layer(digest="md5:" + "0" * 32),
    "a digest that is a path": _first_layer(digest="sha256:../../../etc/passwd"),
    "a digest with a newline": _first_layer(digest=digest_of(b"one") + "\n"),
    "no digest": lambda document: document["layers"][0].pop("digest"),
    "a size below zero": _first_layer(size=-1),
    "a size of 2^63": _first_layer(size=2**63),
    "a size of 4,000 digits": _first_layer(size=10**3_999),
    "a size that is a fraction": _first_layer(size=1.5),
    "a size in words": _first_layer(size="3"),
    "a size that is true": _first_layer(size=True),
    "urls that are a string": _first_layer(urls="http://a"),
    "data of another content": _first_layer(data=base64.b64encode(b"two").decode()),
    "data that is not base64": _first_layer(data="***"),
    "data without its padding": lambda document: document["config"].update(data=base64.b64encode(b"{}").decode()[:-1]),
    "data with letters that are not ASCII": _first_layer(data="\u00e9" * 4),
    "a subject with a wrong digest": _document(subject=descriptor(b"x", OCI_MANIFEST) | {"digest": "sha256:x"}),
    "a subject that is a string": _document(subject=digest_of(b"x")),
    "one level of nesting more than there may be": _document(x=nested(MAX_DEPTH, 1)),
    "one level of nesting more, in objects": _document(x={"a": nested(MAX_DEPTH - 2, {})}),
}


@pytest.mark.parametrize("change", REFUSED_IMAGES.values(), ids=REFUSED_IMAGES.keys())
def test_an_image_may_not_have(change: Change) -> None:
    document = image_document()
    parse_manifest(encoded(document), OCI_MANIFEST)
    change(document)
    with pytest.raises(ManifestInvalid) as refused:
        parse_manifest(encoded(document), OCI_MANIFEST)
    assert refused.value.detail


REFUSED_INDEXES: dict[str, Change] = {
    "a child that is null": _document(manifests=[None]),
    "layers and manifests that are null": _document(manifests=None, layers=[]),
    "a config and manifests that are null": _document(manifests=None, config=descriptor(b"{}", IMAGE_CONFIG)),
    "manifests twice in other letters": _document(Manifests=[]),
    "layers": _document(layers=[]),
    "a config": _document(config=descriptor(b"{}", IMAGE_CONFIG)),
    "the media type of an image": _document(mediaType=OCI_MANIFEST),
    "a manifest with a wrong digest": lambda document: document["manifests"][0].update(digest="latest"),
}


@pytest.mark.parametrize("change", REFUSED_INDEXES.values(), ids=REFUSED_INDEXES.keys())
def test_an_index_may_not_have(change: Change) -> None:
    document = index_document()
    parse_manifest(encoded(document), None)
    change(document)
    with pytest.raises(ManifestInvalid):
        parse_manifest(encoded(document), None)
