"""Images made from nothing: OCI layouts on disk for skopeo, and the same documents as values for raw HTTP."""

import hashlib
import io
import json
import os
import secrets
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

Descriptor = dict[str, Any]


def unique(prefix: str) -> str:
    """A name that no other test uses, in this run or before: the servers and engines are shared."""
    return f"{prefix}-{secrets.token_hex(6)}"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def descriptor(media_type: str, data: bytes) -> Descriptor:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def layer(size: int, name: str = "file") -> bytes:
    """A tar with one file of random bytes: no two layers are alike."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = size
        tar.addfile(entry, io.BytesIO(os.urandom(size)))
    return output.getvalue()


@dataclass(frozen=True)
class Image:
    """One manifest and everything it names."""

    manifest: bytes
    config: bytes
    layers: tuple[bytes, ...]
    platform: dict[str, str] = field(default_factory=dict)

    @property
    def blobs(self) -> tuple[bytes, ...]:
        return (*self.layers, self.config)

    @property
    def descriptor(self) -> Descriptor:
        return {**descriptor(OCI_MANIFEST, self.manifest), "platform": self.platform}


def oci_image(sizes: Sequence[int] = (4096, 70_000), architecture: str = "amd64") -> Image:
    """An OCI image with one random layer per size."""
    layers = tuple(layer(size, f"file{number}") for number, size in enumerate(sizes))
    platform = {"os": "linux", "architecture": architecture}
    diffs = [digest_of(content) for content in layers]
    config = json.dumps({**platform, "rootfs": {"type": "layers", "diff_ids": diffs}}).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, config),
        "layers": [descriptor(OCI_LAYER, content) for content in layers],
    }
    return Image(json.dumps(manifest).encode(), config, layers, platform)


def write_layout(directory: Path, *images: Image) -> str:
    """An OCI layout with the tag `it`: the image, or an index of several; what skopeo calls it."""
    (directory / "blobs/sha256").mkdir(parents=True)
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    for image in images:
        for content in (*image.blobs, image.manifest):
            _write_blob(directory, content)
    top = images[0].descriptor
    if len(images) > 1:
        index = oci_index(*images)
        _write_blob(directory, index)
        top = descriptor(OCI_INDEX, index)
    top["annotations"] = {"org.opencontainers.image.ref.name": "it"}
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    return f"oci:{directory}:it"


def oci_index(*images: Image) -> bytes:
    """An index of these images by platform."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [image.descriptor for image in images],
    }
    return json.dumps(document).encode()


def docker_images(*architectures: str) -> list[Image]:
    """For each architecture an image in Docker's schema 2."""
    images = [oci_image(architecture=architecture) for architecture in architectures]
    return [replace(image, manifest=_as_docker(image.manifest)) for image in images]


def _as_docker(manifest: bytes) -> bytes:
    types = {OCI_MANIFEST: DOCKER_MANIFEST, OCI_CONFIG: DOCKER_CONFIG, OCI_LAYER: DOCKER_LAYER}
    text = manifest.decode()
    for before, after in types.items():
        text = text.replace(f'"{before}"', f'"{after}"')
    return text.encode()


def docker_list(*images: Image) -> bytes:
    """A Docker manifest list of these images by platform."""
    children = [{**image.descriptor, "mediaType": DOCKER_MANIFEST} for image in images]
    return json.dumps({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": children}).encode()


def _write_blob(directory: Path, content: bytes) -> None:
    (directory / "blobs" / digest_of(content).replace(":", "/")).write_bytes(content)
