"""Manifests that other processes read: the same is found, and a run ends as it does alone."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyregistry.gc.types import MarkFailed, Options, ProgressObserver, Report
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Stat
from tests.builders import artifact, image, index
from tests.gc.collecting import collect, remove_tag
from tests.storage.pushing import files_of, push_image, registry_on, repository

pytestmark = [
    pytest.mark.usefixtures("shared_by_all"),
    # Idle threads of other tests' event loops; a command has none when it begins.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

NAMES = [f"team/app{number}" for number in range(7)]


@pytest.fixture
def shared_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyregistry.gc.parallel.WORTH_FORKING_BLOBS", 0)


def fill(registry: Registry) -> None:
    """Images that live and images that do not, with what belongs to them."""
    for name in NAMES:
        repo = repository(registry, name)
        for tag in ("kept", "gone"):
            nested = index(index(image(b"base", f"{name} {tag}".encode())), image(tag.encode()))
            push_image(repo, nested, tag)
            push_image(repo, artifact(nested))
        remove_tag(repo, "gone")


class Heard(ProgressObserver):
    """Everything that was said of a run, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[tuple[str, ...]] = []

    def repository(self, name: RepositoryName) -> None:
        self.all.append(("repository", name))

    def marked_manifest(self, name: RepositoryName, digest: str) -> None:
        self.all.append(("manifest", name, digest))

    def marked_blob(self, name: RepositoryName, digest: str) -> None:
        self.all.append(("blob", name, digest))


def dry_run(driver: Driver, processes: int, *, delete_untagged: bool) -> tuple[Report, list[tuple[str, ...]]]:
    heard = Heard()
    options = Options(grace=0, delete_untagged=delete_untagged, dry_run=True)
    report = collect(driver, options, heard, processes)
    report.seconds = 0
    return report, heard.all


@pytest.fixture(scope="module", params=["filesystem", "memory"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Driver:
    """Each driver in turn, for runs that change nothing."""
    on_disk = request.param == "filesystem"
    driver = FilesystemDriver(tmp_path_factory.mktemp("filled")) if on_disk else MemoryDriver()
    fill(registry_on(driver))
    return driver


@pytest.mark.parametrize("delete_untagged", [False, True])
@pytest.mark.parametrize("at_once", [0, 5, 100_000])
def test_any_number_of_processes_finds_the_same_in_the_same_order(
    filled: Driver, monkeypatch: pytest.MonkeyPatch, *, at_once: int, delete_untagged: bool
) -> None:
    monkeypatch.setattr("pyregistry.gc.documents.AT_ONCE", at_once)
    before = files_of(filled)
    alone = dry_run(filled, 1, delete_untagged=delete_untagged)
    assert alone[0].manifests_removed == (len(NAMES) * 5 if delete_untagged else 0)
    for processes in (2, 3, 9):
        assert dry_run(filled, processes, delete_untagged=delete_untagged) == alone
    assert files_of(filled) == before


class Watching(FilesystemDriver):
    """Does something before it lists the manifests of one repository."""

    def __init__(self, root: Path, name: str, act: Callable[[], None]) -> None:
        super().__init__(root)
        self._looked_at = f"{layout.revisions(RepositoryName(name))}/sha256"
        self._act = act

    def scan(self, path: StoragePath, leaf: str, *, strict: bool = False) -> Iterator[tuple[str, Stat | None]]:
        if path == self._looked_at:
            self._act()
        return super().scan(path, leaf, strict=strict)


def refuse() -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO), "revisions")


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("act", "processes", "said"),
    [
        (refuse, 1, "team/app3: revisions: Input/output error"),
        (refuse, 2, "team/app3: revisions: Input/output error"),
        (end, 2, "a helper process ended too early, with -9"),
    ],
)
def test_what_cannot_be_read_ends_the_run_before_anything_is_removed(
    root: Path, act: Callable[[], None], processes: int, said: str
) -> None:
    driver = FilesystemDriver(root)
    fill(registry_on(driver))
    before = files_of(driver, layout.BLOBS), files_of(driver, layout.REPOSITORIES)
    with pytest.raises(MarkFailed) as failure:
        collect(Watching(root, "team/app3", act), Options(grace=0, delete_untagged=True), processes=processes)
    assert str(failure.value) == said
    assert before == (files_of(driver, layout.BLOBS), files_of(driver, layout.REPOSITORIES))


def test_a_damaged_manifest_is_found_by_whoever_reads_it(root: Path) -> None:
    driver = FilesystemDriver(root)
    fill(registry_on(driver))
    damaged = Digest(image(b"kept").digest)
    driver.write(layout.blob_data(damaged), b"{}")
    said = [collect(driver, Options(grace=0), processes=processes).skipped for processes in (1, 3)]
    assert said[0] == said[1]
    assert f"the manifest {damaged} is damaged" in said[0][0]
