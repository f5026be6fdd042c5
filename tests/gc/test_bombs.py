"""Documents of another registry that would fill the memory: each run continues, and keeps what they refer to."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from pyregistry.fsck.scope import CheckScope
from pyregistry.inventory.images import tagged_images
from pyregistry.inventory.usage import measure
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import Tag
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.links import write_link
from pyregistry.storage.seams.rules import Rules
from tests.builders import digest_of, image
from tests.fsck.trees import check
from tests.gc.collecting import age, gc, has_blob
from tests.storage.backends import backend_on
from tests.storage.pushing import pull, push_blob, push_image, registry_on, repository

BOMB = (
    f'{{"schemaVersion": 2, "x": "{digest_of(b"referred to")}", "layers": [{{"digest": "sha256:0", "size": 0}}'.encode()
    + b',{"digest":"","size":0}' * 300_000
    + b"]}"
)
RUNS: dict[str, Callable[[FilesystemDriver], object]] = {
    "gc": gc,
    "gc of what is untagged": lambda driver: gc(driver, delete_untagged=True, grace=0),
    "fsck": lambda driver: list(check(driver, CheckScope(Rules()))),
    "ls": lambda driver: list(tagged_images(driver, repository(registry_on(driver)))),
    "du": lambda driver: measure(backend_on(driver)),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS.keys())
def test_a_stored_bomb_stops_no_run(root: Path, run: Callable[[FilesystemDriver], object]) -> None:
    driver = FilesystemDriver(root)
    repo = repository(registry_on(driver))
    push_image(repo, image(), "latest")
    age(driver, layout.layer_link(repo.name, push_blob(repo, b"referred to")))
    digest = Digest.of(BOMB)
    driver.write(layout.blob_data(digest), BOMB)
    write_link(driver, layout.revision_link(repo.name, digest), digest)
    write_link(driver, layout.tag_current_link(repo.name, Tag("bomb")), digest)
    tracemalloc.start()
    try:
        run(driver)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(BOMB)
    assert has_blob(driver, b"referred to")
    assert pull(repo, image())
