"""For every n: a push, deletion or collection whose n-th call of the coordinator fails loses nothing."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count

import pytest

from pyregistry.gc.types import Failure, Options
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import Tag
from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.repositories.repository import Repository
from pyregistry.storage.seams.coordinator import Coordinator
from tests.builders import artifact, image, index
from tests.gc.collecting import blobs, collect, stored_by
from tests.storage.delegating import FailingCoordinator
from tests.storage.epochs import EpochCoordinator
from tests.storage.pushing import pull, push_blob, push_image, registry_on, repository, tagged_images

OLD, NEW = image(b"old"), image(b"new")
KEPT = index(image(b"base", b"amd64"), image(b"base", b"arm64"))
SIGNATURE = artifact(KEPT)
GARBAGE = index(index(image(b"base", b"garbage")), image(b"more garbage"))
LEFT = stored_by(KEPT, SIGNATURE)
Make = Callable[[Driver], Coordinator]
COORDINATORS: dict[str, Make] = {"locks": LocalCoordinator, "epochs": EpochCoordinator}


@pytest.fixture(params=COORDINATORS)
def make(request: pytest.FixtureRequest) -> Make:
    """Each coordinator in turn."""
    return COORDINATORS[request.param]


@pytest.fixture(params=[False, True], ids=["before its work", "after its work"])
def after(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def repository_on(driver: Driver, coordinator: Coordinator) -> Repository:
    return repository(registry_on(driver, coordinator=coordinator))


def each_failure(
    make: Make, after: bool, prepare: Callable[[Repository], object], work: Callable[[Driver, Coordinator], object]
) -> Iterator[tuple[str, Driver]]:
    """Each verb in which `work` failed, and what that left; at the end `work` has no call left that fails."""
    for number in count(1):
        driver = MemoryDriver()
        prepare(repository_on(driver, make(driver)))
        failing = FailingCoordinator(make(driver), number, after=after)
        with suppress(OSError, Failure):
            work(driver, failing)
        if failing.failed_in is None:
            return
        yield failing.failed_in, driver


def test_a_push_leaves_no_tag_that_names_something_incomplete(make: Make, after: bool) -> None:
    def prepare(repo: Repository) -> None:
        push_image(repo, OLD, "latest")
        for blob in NEW.blobs:
            push_blob(repo, blob)

    def put(repo: Repository) -> None:
        repo.put_manifest(Tag("latest"), NEW.content, NEW.media_type)

    failed = set()
    for verb, driver in each_failure(make, after, prepare, lambda *parts: put(repository_on(*parts))):
        failed.add(verb)
        repo = repository_on(driver, make(driver))
        [(tag, digest)] = tagged_images(repo).items()
        assert tag == "latest"
        assert pull(repo, {each.digest: each for each in (OLD, NEW)}[digest]), verb
        assert pull(repo, OLD), verb
        put(repo)
        assert tagged_images(repo) == {"latest": NEW.digest}, verb
        assert pull(repo, NEW), verb
    assert failed >= {"run", "claim", "publish", "set_tags", "finish"}


def test_a_deletion_leaves_no_tag_that_names_nothing_and_can_be_repeated(make: Make, after: bool) -> None:
    def prepare(repo: Repository) -> None:
        push_image(repo, OLD, "a", "b")

    def delete(repo: Repository) -> None:
        repo.delete_manifest(Digest(OLD.digest))

    failed = set()
    for verb, driver in each_failure(make, after, prepare, lambda *parts: delete(repository_on(*parts))):
        failed.add(verb)
        repo = repository_on(driver, make(driver))
        if tagged_images(repo):
            assert pull(repo, OLD), verb
            delete(repo)
        assert tagged_images(repo) == {}, verb
    assert failed == {"change"}


def test_a_collection_loses_no_image_and_the_next_one_frees_the_rest(make: Make, after: bool) -> None:
    def prepare(repo: Repository) -> None:
        push_image(repo, KEPT, "latest")
        push_image(repo, SIGNATURE)
        push_image(repo, GARBAGE, "old")
        repo.delete_tag(Tag("old"))

    options = Options(delete_untagged=True)
    failed = set()
    for verb, driver in each_failure(
        make, after, prepare, lambda driver, coordinator: collect(driver, options, coordinator=coordinator)
    ):
        failed.add(verb)
        assert all(pull(repository_on(driver, make(driver)), each) for each in (KEPT, SIGNATURE)), verb
        report = collect(driver, options, coordinator=make(driver))
        assert report.skipped == [], verb
        assert blobs(driver) == LEFT, verb
        repo = repository_on(driver, make(driver))
        assert all(pull(repo, each) for each in (KEPT, SIGNATURE)), verb
        push_image(repo, GARBAGE, "again")
        assert pull(repo, GARBAGE), verb
    assert failed >= {
        "collection",
        "generations",
        "barrier",
        "condemn",
        "batch",
        "may_remove",
        "remove",
        "settle",
        "free",
    }
