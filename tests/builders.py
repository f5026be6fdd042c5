"""Small, deterministic content: layers, images, indexes, artifacts."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
EMPTY_JSON = "application/vnd.oci.empty.v1+json"


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """Computed here, not by the code under test."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def descriptor(content: bytes, media_type: str, algorithm: str = "sha256", **more: object) -> dict[str, Any]:
    """A descriptor of `content`."""
    return {"mediaType": media_type, "digest": digest_of(content, algorithm), "size": len(content), **more}


@dataclass(frozen=True)
class Image:
    """A manifest with the blobs that it refers to."""

    content: bytes
    media_type: str
    blobs: tuple[bytes, ...] = ()
    children: tuple["Image", ...] = ()
    algorithm: str = field(default="sha256")

    @property
    def digest(self) -> str:
        """Of the manifest."""
        return digest_of(self.content, self.algorithm)

    def descriptor(self, **more: object) -> dict[str, Any]:
        """Of the manifest, for an index or a subject."""
        return descriptor(self.content, self.media_type, self.algorithm, **more)


def image(*layers: bytes, config: bytes = b"{}", algorithm: str = "sha256", **fields: object) -> Image:
    """An OCI image; `fields` are added to the manifest."""
    layers = layers or (b"layer one", b"layer two")
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, IMAGE_CONFIG, algorithm),
        "layers": [descriptor(layer, LAYER, algorithm) for layer in layers],
        **fields,
    }
    return Image(json.dumps(manifest).encode(), OCI_MANIFEST, (config, *layers), algorithm=algorithm)


def index(*children: Image, algorithm: str = "sha256", **fields: object) -> Image:
    """An OCI index of `children`."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [child.descriptor() for child in children],
        **fields,
    }
    return Image(json.dumps(manifest).encode(), OCI_INDEX, (), children, algorithm)


def artifact(subject: Image | None = None, artifact_type: str = "application/vnd.test.sbom", **fields: object) -> Image:
    """An artifact with the empty config, naming `subject` if there is one."""
    config = b"{}"
    more = {} if subject is None else {"subject": subject.descriptor()}
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": descriptor(config, EMPTY_JSON),
        "layers": [descriptor(b"an artifact", "text/plain")],
        **more,
        **fields,
    }
    return Image(json.dumps(manifest).encode(), OCI_MANIFEST, (config, b"an artifact"))
