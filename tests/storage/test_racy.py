"""A file is distinguished from every later state of it only when its time is no longer racy."""

import time

import pytest

from pyregistry.common.racy import SECOND_NS, racy_window_ns
from pyregistry.oci.names import Tag
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.repositories.cache import ManifestCache
from pyregistry.storage.seams import layout
from tests.builders import image
from tests.storage.pushing import push_image, registry_on, repository


@pytest.mark.parametrize(
    ("stamp", "fine", "after"),
    [
        (1, SECOND_NS, SECOND_NS),
        (5 * SECOND_NS + 1, SECOND_NS, SECOND_NS),
        (5 * SECOND_NS + 1, 1000, 1000),
        (5 * SECOND_NS, SECOND_NS, 3 * SECOND_NS),
        (5 * SECOND_NS, 1000, 3 * SECOND_NS),
        (0, 1000, 3 * SECOND_NS),
    ],
)
def test_times_of_whole_seconds_settle_later(stamp: int, fine: int, after: int) -> None:
    assert racy_window_ns(stamp, fine) == after


@pytest.mark.parametrize(
    ("ago", "fraction", "is_trusted"),
    [(0, 1, False), (2, 1, True), (2, 0, False), (10, 0, True)],
    ids=["just written", "fine and no longer racy", "within the two seconds of vfat", "coarse and no longer racy"],
)
def test_a_tag_is_cached_when_its_link_is_no_longer_racy(
    filesystem: FilesystemDriver, ago: int, fraction: int, is_trusted: bool
) -> None:
    repo = repository(registry_on(filesystem))
    push_image(repo, image(), "v1")
    link = layout.tag_current_link(repo.name, Tag("v1"))
    filesystem.set_mtime(link, (time.time_ns() // SECOND_NS - ago) * SECOND_NS + fraction)
    _, known = ManifestCache(filesystem, young_ns=SECOND_NS).load(repo, Tag("v1"), leased=False)
    assert (known is not None) == is_trusted
