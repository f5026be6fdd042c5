"""The data sets of the official program, made as it makes them but always of the same bytes.

As there, the config of an image with gzip layers names the digest of no bytes for each layer: the configs of one
platform are the same blob in every data set.
"""

import base64
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.builders import EMPTY_JSON, IMAGE_CONFIG, LAYER, OCI_INDEX, OCI_MANIFEST, Image, descriptor, digest_of

Descriptor = dict[str, Any]

EXAMPLE_1 = "application/vnd.example.oci.conformance.v1"
EXAMPLE_2 = "application/vnd.example.oci.conformance.v2"
NON_DISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
PLATFORMS = ("amd64", "arm64")
HELLO = {"org.opencontainers.conformance": "hello conformance test"}


@dataclass
class DataSet:
    """The content that one data set pushes; `algorithm`, `inline` and `custom` are for everything in it."""

    algorithm: str = "sha256"
    inline: bool = False
    """Descriptors carry their content as `data`."""
    custom: bool = False
    """Configs, manifests and indexes have a field that no spec knows."""
    tags_in_query: bool = False
    """Tags are pushed as parameters of a push by digest."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: list[Image] = field(default_factory=list)
    """In the order of their push."""
    tags: dict[str, Image] = field(default_factory=dict)
    referrers: dict[str, list[Descriptor]] = field(default_factory=dict)
    """Subject to the descriptors that the referrers API gives."""
    _layers: int = 0

    def blob(self, content: bytes, media_type: str) -> Descriptor:
        """Add a blob."""
        self.blobs[digest_of(content, self.algorithm)] = content
        return self._describe(content, media_type)

    def layer(self, *, compressed: bool = True) -> Descriptor:
        """A tar of one file, each with other bytes."""
        self._layers += 1
        text = f"Conformance test file contents for file number {self._layers}.\n".encode()
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            header = tarfile.TarInfo(f"./conformance-{self._layers}.txt")
            header.size = len(text)
            archive.addfile(header, io.BytesIO(text))
        content = buffer.getvalue()
        return self.blob(gzip.compress(content, mtime=0), LAYER + "+gzip") if compressed else self.blob(content, LAYER)

    def image(
        self, layers: list[Descriptor], architecture: str = "amd64", tag: str | None = None, **fields: Any
    ) -> Image:
        """A platform's image."""
        no_bytes = digest_of(b"", self.algorithm)
        plain = [layer["digest"] if layer["mediaType"] == LAYER else no_bytes for layer in layers]
        config = {"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": plain}}
        return self._manifest(self.blob(self._json(config), IMAGE_CONFIG), layers, tag, **fields)

    def artifact(
        self, artifact_type: str, layer: bytes | None, layer_type: str, tag: str | None = None, **fields: Any
    ) -> Image:
        """An artifact of one layer, of bytes of its own unless they are given."""
        self._layers += 1
        content = self._layers.to_bytes(2, "big") * 1024 if layer is None else layer
        layers = [self.blob(content, layer_type)]
        return self._manifest(self.blob(b"{}", EMPTY_JSON), layers, tag, artifactType=artifact_type, **fields)

    def index(self, children: Mapping[str, Descriptor], tag: str | None = None, **fields: Any) -> Image:
        """Architecture to its manifest."""
        manifests = [
            {**child, "platform": {"architecture": name, "os": "linux"}} if name in PLATFORMS else child
            for name, child in children.items()
        ]
        return self._add({"schemaVersion": 2, "mediaType": OCI_INDEX, **fields, "manifests": manifests}, tag)

    def platforms(self, tag: str | None = None) -> Image:
        """An index of two images with two layers each."""
        images = {name: self.image([self.layer(), self.layer()], name) for name in PLATFORMS}
        return self.index({name: self.describe(image) for name, image in images.items()}, tag)

    def describe(self, image: Image) -> Descriptor:
        """The descriptor of a manifest, for an index or a subject."""
        return self._describe(image.content, image.media_type)

    def _manifest(self, config: Descriptor, layers: list[Descriptor], tag: str | None, **fields: Any) -> Image:
        head = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, **fields}
        return self._add({**head, "config": config, "layers": layers}, tag)

    def _add(self, document: dict[str, Any], tag: str | None) -> Image:
        image = Image(self._json(document), document["mediaType"], algorithm=self.algorithm)
        self.manifests.append(image)
        if tag is not None:
            self.tags[tag] = image
        if "subject" in document:
            more = {"annotations": document.get("annotations")}
            more["artifactType"] = document.get("artifactType") or document.get("config", {}).get("mediaType")
            listed = {**self.describe(image), **{key: value for key, value in more.items() if value}}
            self.referrers.setdefault(document["subject"]["digest"], []).append(listed)
        return image

    def _json(self, document: dict[str, Any]) -> bytes:
        return json.dumps({**document, **({"org.example.unknown": "kept"} if self.custom else {})}).encode()

    def _describe(self, content: bytes, media_type: str) -> Descriptor:
        more = {"data": base64.b64encode(content).decode()} if self.inline else {}
        return descriptor(content, media_type, self.algorithm, **more)


def _image(*, compressed: bool = True, inline: bool = False, **fields: Any) -> DataSet:
    made = DataSet(inline=inline)
    made.image([made.layer(compressed=compressed), made.layer(compressed=compressed)], tag="image", **fields)
    return made


def _index(**fields: Any) -> DataSet:
    made = DataSet(**fields)
    made.platforms("index")
    return made


def _nested_index() -> DataSet:
    made = DataSet()
    first, second = made.platforms(), made.platforms()
    made.index({"first": made.describe(first), "second": made.describe(second)}, "index-of-index")
    return made


def _empty_index() -> DataSet:
    made = DataSet()
    made.index({}, "index")
    return made


def _artifact(layer: bytes | None, layer_type: str, **fields: Any) -> DataSet:
    made = DataSet()
    made.artifact(EXAMPLE_1, layer, layer_type, "artifact", **fields)
    return made


def _artifact_index() -> DataSet:
    made = DataSet()
    children = {name: made.describe(made.artifact(EXAMPLE_1, None, EXAMPLE_1)) for name in PLATFORMS}
    made.index(children, "artifact-index", artifactType=EXAMPLE_1)
    return made


def _artifacts_with_subject() -> DataSet:
    made = _image()
    subject = made.describe(made.manifests[0])
    made.image([made.layer(), made.layer()], subject=subject)
    for number, (artifact_type, layer_type) in enumerate([(EXAMPLE_1, EXAMPLE_1), (EXAMPLE_2, LAYER)]):
        annotations = {**HELLO, f"org.example.unique-{number}": "yes"}
        made.artifact(
            artifact_type, None, layer_type, f"tagged-artifact{number}", annotations=annotations, subject=subject
        )
    return made


def _index_with_subject() -> DataSet:
    made = _index()
    fields: dict[str, Any] = {"annotations": HELLO, "subject": made.describe(made.manifests[-1])}
    images = {name: made.describe(made.artifact(EXAMPLE_1, None, EXAMPLE_1, **fields)) for name in PLATFORMS}
    made.index(images, "tagged-artifact", artifactType=EXAMPLE_1, **fields)
    made.index({}, "without-type", subject=fields["subject"])  # of our own: an index has no config to give it a type
    return made


def _non_distributable_layers() -> DataSet:
    made = DataSet()
    foreign = [
        {"mediaType": media_type, "digest": digest, "size": size, "urls": [f"https://store.example.com/{digest}"]}
        for media_type, digest, size in [
            (NON_DISTRIBUTABLE + "+gzip", digest_of(b"elsewhere"), 123456),
            (NON_DISTRIBUTABLE, digest_of(b"elsewhere, too"), 12345),
        ]
    ]
    made.image([*foreign, made.layer()], tag="non-distributable-image")
    return made


def _no_layers() -> DataSet:
    made = DataSet()
    made.image([], tag="no-layers")
    return made


def _tags_in_query(algorithm: str) -> DataSet:
    made = _index(algorithm=algorithm, tags_in_query=True)
    made.tags.update({f"tag-param-{number}": image for number, image in enumerate(made.manifests)})
    return made


def _sha512() -> DataSet:
    made = _index(algorithm="sha512")
    made.tags.clear()  # a push by tag would be stored under its sha256
    return made


def sparse() -> DataSet:
    """Make an image with a layer, and an index with a manifest, that are not pushed."""
    made = _image()
    del made.blobs[json.loads(made.manifests[0].content)["layers"][0]["digest"]]
    present = made.describe(made.image([made.layer(), made.layer()]))
    absent = descriptor(b"a manifest that is not pushed", OCI_MANIFEST)
    made.index(dict(zip(PLATFORMS, [present, absent], strict=True)), "sparse-index")
    return made


DATA_SETS: Mapping[str, Callable[[], DataSet]] = {
    "image": _image,
    "image-uncompressed": lambda: _image(compressed=False),
    "large-manifest": lambda: _image(annotations={f"large-annotation-{i}": "A" * 10_000 for i in range(390)}),
    "index": _index,
    "nested-index": _nested_index,
    "empty-index": _empty_index,
    "artifact": lambda: _artifact(None, EXAMPLE_1),
    "artifact-index": _artifact_index,
    "artifact-without-layers": lambda: _artifact(b"{}", EMPTY_JSON),
    "artifacts-with-subject": _artifacts_with_subject,
    "index-with-subject": _index_with_subject,
    "missing-subject": lambda: _artifact(
        None, EXAMPLE_1, annotations=HELLO, subject=descriptor(b"missing content", OCI_MANIFEST)
    ),
    "data-field": lambda: _image(inline=True),
    "non-distributable-layers": _non_distributable_layers,
    "custom-fields": lambda: _index(custom=True),
    "no-layers": _no_layers,
    "sha512": _sha512,
    "tag-param-sha256": lambda: _tags_in_query("sha256"),
    "tag-param-sha512": lambda: _tags_in_query("sha512"),
}
"""All but the two that are refused by default: sparse, and an image under another's digest."""
