"""A manifest PUT asks the storage for no more than its promises need: collectors wait for its section."""

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from pyregistry.oci.names import Tag
from pyregistry.storage import leases
from pyregistry.storage.driver import Driver
from pyregistry.storage.filesystem import FilesystemDriver
from pyregistry.storage.registry import Registry
from tests.builders import image
from tests.storage.pushing import push_blob, repository

LAYERS = 10
REFERENCES = LAYERS + 1
"""The layers, and the config."""

LOCKS = 5
"""Turnstile, commit, repository, link and blob of the manifest."""
IDLE = {
    "room": 1,
    "lock": LOCKS + REFERENCES,  # of each link
    "stat": 1 + 2 * REFERENCES,  # is there a collector; bytes and link of each
    "write": 4,  # content, revision link, both links of the tag
    "make_directory": 2,  # by which the CNCF registry finds a repository
    "set_mtime": REFERENCES + 1,  # leases end, also that of the manifest itself
}
COLLECTING = IDLE | {
    "lock": IDLE["lock"] + REFERENCES,  # of each blob, for its touch
    "stat": IDLE["stat"] + REFERENCES + 1,  # does the touch show; is there content already
    "set_mtime": IDLE["set_mtime"] + REFERENCES,
    "mark": 1,  # on the content that is written
}


class CountingEverything(FilesystemDriver):
    """Each call of the driver is in `calls`, by its name."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.calls: Counter[str] = Counter()

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return _counted(self.calls, name, found) if name in _NAMES else found


_NAMES = {name for name in vars(Driver) if not name.startswith("_")} - {"epoch"}


def _counted(calls: Counter[str], name: str, method: Callable[..., object]) -> Callable[..., object]:
    def call(*arguments: object, **options: object) -> object:
        calls[name] += 1
        return method(*arguments, **options)

    return call


@pytest.mark.parametrize("expected", [IDLE, COLLECTING], ids=["idle", "while garbage is collected"])
def test_the_calls_of_a_manifest_put_are_those_that_a_promise_needs(root: Path, expected: dict[str, int]) -> None:
    driver = CountingEverything(root)
    repo, pushed = repository(Registry(driver)), image(*(b"layer %d" % number for number in range(LAYERS)))
    for blob in pushed.blobs:
        push_blob(repo, blob)
    with leases.marks_of_touches(driver) if expected is COLLECTING else nullcontext():
        driver.calls.clear()
        repo.put_manifest(Tag("latest"), pushed.content, pushed.media_type)
        assert dict(driver.calls) == expected
