"""A storage that has nothing of a directory: all that works on a backend needs its objects, coordinator and uploads."""

from collections import Counter
from collections.abc import Callable

import pytest

from pyregistry.fsck.checking import check
from pyregistry.fsck.findings import Kind
from pyregistry.fsck.repairing import repair
from pyregistry.fsck.scope import CheckScope
from pyregistry.fsck.scrubbing import Coverage, scrub
from pyregistry.gc.collector import collect
from pyregistry.gc.types import Options
from pyregistry.gc.untagging import Untagging
from pyregistry.inventory.images import tagged_images
from pyregistry.inventory.usage import measure
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.backend import Backend, Memory
from pyregistry.storage.delegating import DelegatingObjects
from pyregistry.storage.measured import MeasuredObjects
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.repositories.removing import remove_repository
from pyregistry.storage.repositories.secrets import Secret
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.links import list_blobs
from pyregistry.storage.seams.objects import Objects
from pyregistry.storage.seams.rules import Rules
from pyregistry.storage.uploads.pieces import PieceUploads
from tests.builders import image
from tests.storage.delegating import RepeatingCoordinator
from tests.storage.epochs import EpochCoordinator
from tests.storage.pushing import pull, push_blob, push_image, repository
from tests.storage.pushing import tagged_images as tags_of

APP = RepositoryName("team/app")
OLD, NEW = image(b"base", b"old"), image(b"base", b"new")


@pytest.fixture
def backend() -> Backend:
    """Objects without locks, times to set or files to append to, with a coordinator that may run its work again."""
    hidden = MemoryDriver()
    coordinator = RepeatingCoordinator(EpochCoordinator(hidden))

    def with_objects(objects: Objects) -> Backend:
        return Backend(
            Memory(),
            objects,
            coordinator,
            uploads=lambda max_size: PieceUploads(objects, max_size, coordinator),
            measure=lambda observer: with_objects(MeasuredObjects(objects, observer)),
            local=None,
            title="another storage",
        )

    return with_objects(DelegatingObjects(hidden))


def observing(counts: Counter[str]) -> Callable[[str, str], Callable[[float], None]]:
    def observer(name: str, action: str) -> Callable[[float], None]:
        return lambda seconds: counts.update([f"{name} {action}"])

    return observer


def test_it_serves_collects_and_shows_images_and_its_calls_are_measured(backend: Backend) -> None:
    counts: Counter[str] = Counter()
    measured = backend.measured(observing(counts))
    repo = repository(measured.registry(), APP)
    push_image(repo, OLD, "latest")
    push_image(repo, NEW, "latest")
    assert pull(repo, OLD)
    assert {"inmemory PutContent", "inmemory GetContent", "inmemory Stat", "inmemory List"} <= counts.keys()

    assert [each.tag for each in tagged_images(backend.objects, repo)] == ["latest"]
    report = collect(backend.objects, backend.coordinator, Options(grace=0, delete_untagged=True))
    assert report.blobs_removed == 2
    assert pull(repository(backend.registry(), APP), NEW)
    assert measure(backend).skipped == []
    assert Secret(backend.objects, layout.TOKEN_KEYS, backend.coordinator).change(lambda before: b"secret") == b"secret"


def test_tags_and_repositories_are_removed(backend: Backend) -> None:
    push_image(repository(backend.registry(), APP), OLD, "old")
    push_image(repository(backend.registry(), APP), NEW, "new")
    removed = list(Untagging(backend.objects, backend.coordinator, APP, 0).remove([Tag("old")], []))
    assert removed == [Tag("old"), Digest(OLD.digest)]
    assert tags_of(repository(backend.registry(), APP)) == {"new": NEW.digest}
    assert remove_repository(backend.objects, backend.coordinator, APP)
    assert list(backend.registry().catalog()) == []
    collect(backend.objects, backend.coordinator, Options(grace=0, allow_empty=True))
    assert list(list_blobs(backend.objects)) == []


def test_damage_is_found_and_repaired(backend: Backend) -> None:
    repo = repository(backend.registry(), APP)
    push_image(repo, NEW, "latest")
    damaged = Digest.of(b"new")
    backend.objects.write(layout.blob_data(damaged), b"damaged")
    backend.objects.write(layout.layer_link(APP, Digest.of(b"base")), b"torn")
    [scrubbed] = scrub(backend.objects, backend.coordinator, Coverage(), lambda size: None)
    assert scrubbed.kind is Kind.CORRUPT_BLOB
    assert repair(backend.objects, backend.coordinator, scrubbed) == "quarantined"
    [name] = backend.objects.children(layout.quarantine(layout.PRIVATE))
    assert name.startswith(f"sha256-{damaged.encoded}")

    scope = CheckScope(Rules())
    found = {each.kind: each for each in check(backend.objects, backend.coordinator, scope)}
    assert repair(backend.objects, backend.coordinator, found[Kind.TORN_LINK]) == "written again"
    push_blob(repo, b"new")
    assert list(check(backend.objects, backend.coordinator, scope)) == []
    assert pull(repo, NEW)
