"""The report of `ls` on images, on both backends; also on text that a pusher made up."""

from pathlib import Path

from pyregistry.inventory.images import tagged_images
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import Tag
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams import layout
from tests.builders import LAYER, OCI_INDEX, OCI_MANIFEST, descriptor, digest_of, image, index
from tests.oci.documents import encoded, image_document
from tests.storage.counting import CountingDriver
from tests.storage.pushing import push_blob, push_image, registry_on, repository


def test_an_image_whose_config_is_nested_too_deeply_has_no_platform(driver: Driver, registry: Registry) -> None:
    deep = b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    push_image(repository(registry), image(b"layer", config=deep), "deep")
    push_image(repository(registry), image(b"layer", config=b'{"os": "linux"}'), "plain")
    shown = {found.tag: found.platforms for found in tagged_images(driver, repository(registry))}
    assert shown == {"deep": (), "plain": ("linux",)}


def test_a_manifest_is_read_once_however_often_indexes_name_it(root: Path) -> None:
    driver = CountingDriver(root)
    repo = repository(registry_on(driver))
    child = image(b"layer")
    push_image(repo, child)
    many = index(*[child] * 50)
    repo.put_manifest(Tag("many"), many.content, many.media_type)
    driver.reads.clear()
    [found] = tagged_images(driver, repo)
    assert found.size == len(many.content) + len(child.content) + sum(map(len, child.blobs))
    data = [layout.blob_data(Digest.of(content)) for content in (many.content, child.content)]
    assert [driver.reads[path] for path in data] == [1, 1]


def test_sizes_are_those_of_the_bytes_whatever_a_manifest_says(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    child = image(b"a layer")
    push_image(repo, child)
    content = child.content.replace(b'"size": 7', b'"size": 0').replace(b'"size": 2', b'"size": 2000')
    assert content != child.content
    repo.put_manifest(Tag("wrong"), content, child.media_type)
    many = index(child).content.replace(b'"size": %d' % len(child.content), b'"size": null')
    repo.put_manifest(Tag("list"), many, index().media_type)
    sizes = {found.tag: found.size for found in tagged_images(driver, repo)}
    assert sizes == {
        "wrong": len(content) + len(b"a layer") + len(b"{}"),
        "list": len(many) + len(child.content) + len(b"a layer") + len(b"{}"),
    }


def test_a_layer_that_is_elsewhere_counts_with_the_size_that_its_manifest_says(
    driver: Driver, registry: Registry
) -> None:
    repo = repository(registry)
    push_blob(repo, b"{}")
    layer = descriptor(b"elsewhere", LAYER, urls=["https://a"])
    content = encoded(image_document() | {"layers": [layer, layer | {"digest": digest_of(b"other"), "size": 0}]})
    repo.put_manifest(Tag("foreign"), content, OCI_MANIFEST)
    [found] = tagged_images(driver, repo)
    assert found.size == len(content) + len(b"elsewhere") + len(b"{}")


def test_the_platforms_of_an_index_are_read_as_go_reads_them(driver: Driver, registry: Registry) -> None:
    repo = repository(registry)
    child = image(b"layer")
    push_image(repo, child)
    platforms = [{"OS": "linux", "Architecture": "arm", "variant": "v7"}, {"os": "linux", "variant": None}, None, {}]
    children = [child.descriptor(platform=platform) for platform in platforms]
    content = encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "Manifests": children})
    repo.put_manifest(Tag("multi"), content, OCI_INDEX)
    assert [found.platforms for found in tagged_images(driver, repo)] == [("linux/arm/v7", "linux")]
