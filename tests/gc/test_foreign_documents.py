"""Documents of the CNCF registry that Go's JSON reader understands: nothing that they name is removed."""

import json
from typing import Any

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.names import Tag
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.links import write_link
from tests.builders import LAYER, OCI_INDEX, OCI_MANIFEST, descriptor, image, index
from tests.gc.collecting import gc, has_blob
from tests.oci.documents import encoded
from tests.storage.pushing import push_blobs, push_image, repository

# Idle threads of other tests' event loops; a command has none when it begins.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

LAYERS = [b"one", b"two"]


def store(driver: Driver, registry: Registry, content: bytes, tag: str = "latest") -> Digest:
    """As the CNCF registry stores a manifest."""
    name, digest = repository(registry).name, Digest.of(content)
    driver.write(layout.blob_data(digest), content)
    write_link(driver, layout.revision_link(name, digest), digest)
    write_link(driver, layout.tag_index_link(name, Tag(tag), digest), digest)
    write_link(driver, layout.tag_current_link(name, Tag(tag)), digest)
    return digest


def renamed(content: bytes, **names: str) -> bytes:
    """The document with other keys, byte for byte."""
    for name, other in names.items():
        assert f'"{name}"'.encode() in content
        content = content.replace(f'"{name}"'.encode(), f'"{other}"'.encode())
    return content


IMAGE = image(*LAYERS).content
DOUBLES: dict[str, Any] = json.loads(IMAGE)
IMAGES = {
    "Layers": renamed(IMAGE, layers="Layers"),
    "CONFIG": renamed(IMAGE, config="CONFIG"),
    "a long s": renamed(IMAGE, layers="layer\u017f"),
    "an escaped capital letter": renamed(IMAGE, layers="\\u004cayers"),
    "an escaped long s": renamed(IMAGE, digest="dige\\u017ft"),
    "Digest": renamed(IMAGE, digest="Digest"),
    "all of them": renamed(IMAGE, schemaVersion="SCHEMAVERSION", layers="LAYERS", digest="DIGEST", size="SIZE"),
    "MediaType": renamed(IMAGE, mediaType="MEDIATYPE", layers="Layers"),
    "Layers behind layers": encoded(DOUBLES | {"layers": [], "Layers": DOUBLES["layers"]}),
    "layers behind Layers": encoded({"Layers": DOUBLES["layers"], **DOUBLES, "layers": []}),
    "Digest behind digest": IMAGE.replace(b'"digest"', b'"Digest": "", "digest"'),
    "digest behind an escaped Digest": IMAGE.replace(b'"digest": "sha256:', b'"digest": "", "Digest": "sha256\\u003a'),
    "null behind Config": IMAGE[:-1] + b', "Config": null}',
    "null behind config": IMAGE[:-1] + b', "config": null}',
    "null behind config, and null manifests": renamed(IMAGE[:-1], mediaType="x")
    + b', "config": null, "manifests": null}',
    "a negative size": IMAGE.replace(b'"size": 3', b'"size": -3'),
    "an artifactType that is a number": IMAGE[:-1] + b', "artifactType": 5}',
    "a subject that is a string": IMAGE[:-1] + b', "subject": "sha256"}',
    "annotations that are null": IMAGE[:-1] + b', "annotations": {"a": null}}',
    "bytes that are not UTF-8": IMAGE[:-1] + b', "annotations": {"a": "caf\xe9"}}',
    "half a character": IMAGE[:-1] + b', "annotations": {"a\\\\ud800": "\\\\\\ud83d", "b": "\\ud83d\\ude00\\uDE00"}}',
    "a mediaType that is null": IMAGE.replace(json.dumps(LAYER).encode(), b"null"),
}


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("content", IMAGES.values(), ids=IMAGES.keys())
def test_a_run_keeps_the_blobs_of_a_manifest_with(driver: Driver, registry: Registry, content: bytes) -> None:
    push_blobs(repository(registry), b"{}", *LAYERS, b"of no manifest")
    assert b"sha256" in content
    store(driver, registry, content)
    gc(driver, delete_untagged=True, grace=0)
    assert not has_blob(driver, b"of no manifest")
    assert [blob for blob in (b"{}", *LAYERS) if not has_blob(driver, blob)] == []


CHILD = image(b"of a child")
INDEX = index(CHILD).content
BOTH: dict[str, Any] = json.loads(INDEX)
INDEXES = {
    "Manifests": renamed(INDEX, manifests="Manifests"),
    "Manifests, and no mediaType": encoded({"schemaVersion": 2, "MANIFESTS": BOTH["manifests"]}),
    "Manifests behind manifests": encoded(BOTH | {"manifests": [], "Manifests": BOTH["manifests"]}),
    "manifests behind Manifests": encoded({"Manifests": BOTH["manifests"], **BOTH, "manifests": []}),
    "DIGEST": renamed(INDEX, digest="DIGEST"),
    "a child's mediaType with parameters": renamed(INDEX, **{OCI_MANIFEST: f"{OCI_MANIFEST}; charset=utf-8"}),
    "a child's mediaType in upper case": renamed(INDEX, **{OCI_MANIFEST: OCI_MANIFEST.upper()}),
    "a child without mediaType": encoded(BOTH | {"manifests": [{"digest": CHILD.digest, "size": 1}]}),
    "bytes that are not UTF-8": INDEX[:-1] + b', "annotations": {"a": "caf\xe9"}}',
    "half a character": INDEX[:-1] + b', "annotations": {"a": "\\udc00"}}',
    "a child of another mediaType": renamed(INDEX, **{OCI_MANIFEST: OCI_INDEX}),
}


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("content", INDEXES.values(), ids=INDEXES.keys())
@pytest.mark.parametrize("is_here", [True, False])
def test_a_run_keeps_what_is_below_an_index_with(
    driver: Driver, registry: Registry, content: bytes, is_here: bool
) -> None:
    repo = repository(registry)
    push_image(repo, CHILD)
    store(driver, registry, content)
    if not is_here:
        driver.delete(layout.revision(repo.name, Digest(CHILD.digest)))
    gc(driver, delete_untagged=True, grace=0)
    assert has_blob(driver, CHILD.content)
    assert has_blob(driver, b"of a child")


@pytest.mark.parametrize("content", [*IMAGES.values(), *INDEXES.values()], ids=[*IMAGES.keys(), *INDEXES.keys()])
def test_it_is_served_byte_for_byte_with(driver: Driver, registry: Registry, content: bytes) -> None:
    digest = store(driver, registry, content)
    assert repository(registry).manifest(digest).content == content


@pytest.mark.usefixtures("processes")
def test_a_layer_without_size_is_kept(driver: Driver, registry: Registry) -> None:
    push_blobs(repository(registry), b"{}", b"one")
    layers = [{"mediaType": LAYER, "digest": descriptor(b"one", LAYER)["digest"]}]
    store(driver, registry, encoded(DOUBLES | {"layers": layers}))
    gc(driver, grace=0)
    assert has_blob(driver, b"one")
