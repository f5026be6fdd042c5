"""A manifest PUT asks the storage for no more than its promises need: docs/decisions/0052 says for what, by verb."""

import re
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import pytest

from pyregistry.oci.names import Tag
from pyregistry.storage.delegating import DelegatingDriver
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from tests.builders import image
from tests.processes import SOURCE_TREE
from tests.storage.pushing import push_blob, registry_on, repository

T = TypeVar("T")
PAGE = SOURCE_TREE / "docs/decisions/0052-objects.md"
IMAGE = image(*(f"layer {number}".encode() for number in range(10)))
BLOBS = len(IMAGE.blobs)
_ROW = re.compile(r"^\| `(\w+)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", re.MULTILINE)


class CountingCalls(DelegatingDriver):
    """Counts the calls of each verb in `calls`."""

    def __init__(self, inner: Driver) -> None:
        super().__init__(inner)
        self.calls: Counter[str] = Counter()

    def around(self, verb: str, path: str, work: Callable[[], T]) -> T:
        self.calls[verb] += 1
        return work()


@pytest.mark.parametrize("collecting", [False, True])
def test_a_put_of_ten_layers_makes_the_calls_that_the_page_explains(
    filesystem: FilesystemDriver, collecting: bool
) -> None:
    driver = CountingCalls(filesystem)
    repo = repository(registry_on(driver))
    for blob in IMAGE.blobs:
        push_blob(repo, blob)
    if collecting:
        filesystem.make_directory(layout.TOUCHED)
    driver.calls.clear()
    repo.put_manifest(Tag("latest"), IMAGE.content, IMAGE.media_type)
    assert BLOBS == 11
    assert dict(driver.calls) == _table(collecting=collecting)
    assert f"**{driver.calls.total()} calls**" in PAGE.read_text()


def _table(*, collecting: bool) -> dict[str, int]:
    """The calls by verb, as the page has them."""
    found = {}
    for verb, *numbers in _ROW.findall(PAGE.read_text()):
        per_blob, once = map(int, numbers[2:] if collecting else numbers[:2])
        found[verb] = per_blob * BLOBS + once
    return {verb: number for verb, number in found.items() if number}
