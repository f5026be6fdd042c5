"""Manifests as Python values, for tests that change one thing in them."""

import json
from collections.abc import Callable
from typing import Any

from tests.builders import IMAGE_CONFIG, LAYER, OCI_INDEX, OCI_MANIFEST, descriptor

Document = dict[str, Any]
Change = Callable[[Document], object]


def image_document() -> Document:
    """An OCI image with two layers."""
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(b"{}", IMAGE_CONFIG),
        "layers": [descriptor(b"one", LAYER), descriptor(b"two", LAYER)],
    }


def index_document() -> Document:
    """An OCI index with one manifest."""
    return {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [descriptor(b"a manifest", OCI_MANIFEST, platform={"os": "linux", "architecture": "arm64"})],
    }


def encoded(document: object) -> bytes:
    """As JSON."""
    return json.dumps(document).encode()


def nested(levels: int, innermost: object) -> object:
    """Lists in lists, `levels` of them around `innermost`."""
    value = innermost
    for _ in range(levels):
        value = [value]
    return value
