"""What ls tells of the images, on both backends; of what a pusher may have made up, too."""

from pathlib import Path

from pyregistry.inventory.images import tagged_images
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import Tag
from pyregistry.storage import layout
from pyregistry.storage.driver import Driver
from pyregistry.storage.registry import Registry
from tests.builders import image, index
from tests.storage.counting import CountingDriver
from tests.storage.pushing import push_image, repository


def test_an_image_whose_config_is_nested_too_deeply_has_no_platform(driver: Driver, registry: Registry) -> None:
    deep = b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    push_image(repository(registry), image(b"layer", config=deep), "deep")
    push_image(repository(registry), image(b"layer", config=b'{"os": "linux"}'), "plain")
    shown = {found.tag: found.platforms for found in tagged_images(driver, repository(registry))}
    assert shown == {"deep": (), "plain": ("linux",)}


def test_a_manifest_is_read_once_however_often_indexes_name_it(root: Path) -> None:
    driver = CountingDriver(root)
    repo = repository(Registry(driver))
    child = image(b"layer")
    push_image(repo, child)
    many = index(*[child] * 50)
    repo.put_manifest(Tag("many"), many.content, many.media_type)
    driver.reads.clear()
    [found] = tagged_images(driver, repo)
    assert found.size == len(many.content) + len(child.content) + sum(map(len, child.blobs))
    data = [layout.blob_data(Digest.of(content)) for content in (many.content, child.content)]
    assert [driver.reads[path] for path in data] == [1, 1]
