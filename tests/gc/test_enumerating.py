"""Enumeration by several processes finds what one finds, and ends as one does."""

import errno
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pyregistry.gc.enumerating import enumerate_blobs
from pyregistry.gc.types import MarkFailed, Options
from pyregistry.oci.digest import Digest
from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Stat
from tests.gc.collecting import collect, looking
from tests.processes import SOURCE_TREE
from tests.storage.pushing import files_of

pytestmark = [
    pytest.mark.usefixtures("shared_by_all", "no_child_is_left"),
    # Idle threads of other tests' event loops; a command has none when it begins to enumerate.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.fixture
def shared_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees of a few hundred blobs are shared, too."""
    monkeypatch.setattr("pyregistry.gc.parallel.WORTH_FORKING_BLOBS", 1)


@pytest.fixture
def no_child_is_left() -> Iterator[None]:
    """Every test ends all that it starts; servers of other tests may run meanwhile."""
    before = children()
    yield
    assert children() <= before


def fill(driver: Driver, *, seed: int = 1, blobs: int = 400) -> list[Digest]:
    """Blobs of random sizes, of both algorithms, among files that are not blobs."""
    numbers = random.Random(seed)
    digests = []
    for number in range(blobs):
        digest = Digest.of(b"%d %d" % (seed, number), "sha512" if numbers.random() < 0.1 else "sha256")
        driver.write(layout.blob_data(digest), bytes(numbers.randrange(100)), durable=False)
        digests.append(digest)
    for name in ("sha256/ab/no-digest/data", f"sha256/ab/{'cd' * 32}/data", "sha256/zz/a/data", "md5/ab/c/data"):
        driver.write(StoragePath(f"{layout.BLOBS}/{name}"), b"", durable=False)
    driver.make_directory(StoragePath(f"{layout.BLOBS}/sha256/ef/{'ef' * 32}"))
    return digests


def found(driver: Driver, digests: list[Digest], processes: int) -> tuple[object, ...]:
    """All that can be asked of the candidates."""
    candidates = enumerate_blobs(driver, looking(driver), processes)
    with LocalCoordinator(driver).collection(0) as collection, collection.batch() as batch:
        assert all(batch.is_unchanged(digest, candidates.generation(digest)) for digest in digests)
    return len(candidates), candidates.total_size(), list(candidates.unmarked())


def test_any_number_of_processes_finds_the_same(driver: Driver) -> None:
    for seed in range(2):
        digests = fill(driver, seed=seed)
        alone = found(driver, digests, 1)
        assert alone[0] == (seed + 1) * len(digests)
        for processes in (2, 3, 5):
            assert found(driver, digests, processes) == alone


def test_without_blobs_nothing_is_found(driver: Driver) -> None:
    assert found(driver, [], 4) == (0, 0, [])


class Watching(FilesystemDriver):
    """Does something before it looks at the directory of blobs that begin with `prefix`."""

    def __init__(self, root: Path, prefix: str, act: Callable[[], None]) -> None:
        super().__init__(root)
        self._looked_at = f"{layout.BLOBS}/sha256/{prefix}"
        self._act = act

    def scan(self, path: StoragePath, leaf: str, *, strict: bool = False) -> Iterator[tuple[str, Stat | None]]:
        if path == self._looked_at:
            self._act()
        return super().scan(path, leaf, strict=strict)


def refuse() -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO), "blobs/sha256/80")


def test_a_directory_that_cannot_be_read_fails_with_the_same_words(root: Path) -> None:
    fill(FilesystemDriver(root), blobs=1200)
    said = set()
    for processes in (1, 2, 3):
        watching = Watching(root, "80", refuse)
        with pytest.raises(MarkFailed) as failure:
            enumerate_blobs(watching, looking(watching), processes)
        said.add(str(failure.value))
    assert said == {"blobs/sha256/80: Input/output error"}


def test_a_run_with_several_processes_that_fails_removes_nothing(root: Path) -> None:
    fill(FilesystemDriver(root))
    FilesystemDriver(root).make_directory(layout.REPOSITORIES)
    before = files_of(FilesystemDriver(root), layout.BLOBS)
    with pytest.raises(MarkFailed):
        collect(Watching(root, "80", refuse), Options(grace=0), processes=2)
    assert files_of(FilesystemDriver(root), layout.BLOBS) == before


def test_blobs_that_vanish_meanwhile_are_passed_over(root: Path) -> None:
    driver = FilesystemDriver(root)
    digests = fill(driver)
    first = next(digest for digest in digests if digest.algorithm == "sha256" and digest.encoded > "81")
    garbage = layout.child(StoragePath(f"{layout.BLOBS}/sha256"), first.encoded[:2])
    for processes in (1, 2):
        watching = Watching(root, "80", lambda: remove(driver, garbage))
        candidates = enumerate_blobs(watching, looking(watching), processes)
        assert 0 < len(candidates) < len(digests)
        assert candidates.size(first) is None


def remove(driver: Driver, path: StoragePath) -> None:
    """It may be gone already."""
    with suppress(Exception):
        driver.delete(path)


def test_a_process_that_is_killed_fails_the_run(root: Path) -> None:
    fill(FilesystemDriver(root))
    watching = Watching(root, "80", lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(MarkFailed, match=re.escape("a helper process ended too early, with -9")):
        enumerate_blobs(watching, looking(watching), 2)


def test_where_no_process_can_be_started_one_does_it_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FilesystemDriver(root)
    digests = fill(driver)
    alone = found(driver, digests, 1)
    for allowed in (0, 1):
        left = iter(range(allowed))

        def fork(left: Iterator[int] = left, really: Callable[[], int] = os.fork) -> int:
            if next(left, None) is None:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            return really()

        with monkeypatch.context() as limited:
            limited.setattr(os, "fork", fork)
            assert found(driver, digests, 3) == alone


RUN = """
import os, signal, sys, time
from pathlib import Path
from pyregistry.gc import parallel
from tests.gc.collecting import collect
from pyregistry.gc.types import Options
from tests.gc.test_enumerating import Watching

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it runs in the background ignore it
began = os.getpid()

def wait():
    print(os.getpid(), flush=True)
    while os.getppid() == began:
        time.sleep(0.01)

parallel.WORTH_FORKING_BLOBS = 1
collect(Watching(Path(sys.argv[1]), "80", wait), Options(), processes=2)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("whom", ["the process", "its group"])
def test_a_run_that_is_ended_leaves_no_process_and_no_lock(root: Path, number: signal.Signals, whom: str) -> None:
    fill(FilesystemDriver(root))
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(root)],
        cwd=SOURCE_TREE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.pid in children()
        enumerating = int(running.stdout.readline())
        assert enumerating != running.pid
        (os.kill if whom == "the process" else os.killpg)(running.pid, number)
        assert running.wait(10) != 0
        assert running.stderr.read().count(b"Traceback") == (1 if number == signal.SIGINT else 0)
    deadline = time.monotonic() + 10
    while is_running(enumerating) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(enumerating)
    with FilesystemDriver(root).lock("gc", exclusive=True, wait=False):
        pass


def is_running(process: int) -> bool:
    """Return True for a process that runs, and not for one that ended and was not waited for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children() -> set[int]:
    """The processes that this one has started and that were not waited for, running or not."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(process) for task in tasks for process in task.read_text().split()}


class Barred(FilesystemDriver):
    """Notes which processes are still enumerating when the barrier is taken."""

    left: set[int] | None = None

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._before = children()

    @contextmanager
    def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
        if name == "commit" and self.left is None:
            self.left = children() - self._before
        with super().lock(name, exclusive=exclusive, wait=wait):
            yield


def test_all_records_are_there_before_the_barrier(root: Path) -> None:
    driver = Barred(root)
    driver.make_directory(layout.REPOSITORIES)
    digests = fill(driver)
    report = collect(driver, Options(grace=0, allow_empty=True), processes=2)
    assert driver.left == set()
    assert report.blobs == report.blobs_removed == len(digests)
