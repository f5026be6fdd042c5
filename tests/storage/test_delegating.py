"""Each call of a wrapped storage passes one hook, and a storage that fails changes nothing or all of it."""

import errno
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import TypeVar

import pytest

from pyregistry.storage.delegating import DelegatingDriver, DelegatingObjects
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import AlreadyThere, Objects, PathNotFound
from tests.storage.contract_objects import ObjectsContract
from tests.storage.failing import CHANGES, FailingDriver
from tests.storage.paths import MISSING, at
from tests.storage.pushing import files_of

T = TypeVar("T")
SILENT = frozenset({"local", "epoch", "is_racy", "private_directories", "private_directory_of"})
"""Members that ask the storage nothing."""
CALLS: dict[str, Callable[[Driver], object]] = {
    "read": lambda driver: driver.read(at("a")),
    "write": lambda driver: driver.write(at("new"), b"x"),
    "stat": lambda driver: driver.stat(at("a")),
    "children": lambda driver: list(driver.children(at())),
    "scan": lambda driver: list(driver.scan(at(), "link")),
    "delete": lambda driver: driver.delete(at("a")),
    "delete_many": lambda driver: driver.delete_many([at("a"), at("b")]),
    "source": lambda driver: driver.source(at("a")),
    "create": lambda driver: driver.create(at("new"), b"x"),
    "mark": lambda driver: driver.mark(at("mark")),
    "make_directory": lambda driver: driver.make_directory(at("directory")),
    "set_mtime": lambda driver: driver.set_mtime(at("a"), 7),
    "symbolic_links": lambda driver: driver.symbolic_links(at()),
    "entries": lambda driver: list(driver.entries(at())),
    "move": lambda driver: driver.move(at("a"), at("new")),
    "staged": lambda driver: _enter(driver.staged(at("a"), at("new"))),
    "discard": lambda driver: driver.discard(at("a")),
    "sync": lambda driver: driver.sync(),
    "empty_trash": lambda driver: driver.empty_trash(),
    "prune": lambda driver: driver.prune(at("c")),
    "appender": lambda driver: driver.appender(at("a"), wait=0),
    "open_locked": lambda driver: _enter(driver.open_locked(at("a"))),
    "available_bytes": lambda driver: driver.available_bytes(),
    "lock": lambda driver: _enter(driver.lock("name", exclusive=True)),
}
"""One call of each verb."""


def _enter(held: AbstractContextManager[object]) -> None:
    with held:
        pass


class Noting(DelegatingDriver):
    """Knows what passed the hook."""

    def __init__(self, inner: Driver) -> None:
        super().__init__(inner)
        self.calls: list[str] = []

    def around(self, verb: str, path: str, work: Callable[[], T]) -> T:
        self.calls.append(verb)
        return work()


class Retried(DelegatingObjects):
    """A storage of which each call fails once before its work; its caller tries again."""

    def around(self, verb: str, path: str, work: Callable[[], T]) -> T:
        failing = iter([OSError(errno.EIO, "as ordered")])
        while True:
            try:
                for error in failing:
                    raise error
                return work()
            except OSError as error:
                if error.errno != errno.EIO:
                    raise


@pytest.fixture
def objects() -> Objects:
    return Retried(MemoryDriver())


class TestRetriedObjects(ObjectsContract):
    pass


@pytest.fixture(params=["filesystem", "memory"])
def filled(request: pytest.FixtureRequest) -> Driver:
    """Each driver with two files."""
    driver: Driver = request.getfixturevalue("filesystem") if request.param == "filesystem" else MemoryDriver()
    for name in ("a", "b"):
        driver.write(at(name), name.encode())
    return driver


def _members(protocol: type) -> set[str]:
    return {name for base in protocol.__mro__ for name in vars(base) if not name.startswith("_")}


def test_every_member_of_the_protocols_is_delegated_and_has_a_row_here() -> None:
    assert _members(Objects) <= _members(DelegatingObjects)
    assert _members(Driver) <= _members(DelegatingDriver)
    assert CALLS.keys() | SILENT == _members(Driver)


@pytest.mark.parametrize("verb", CALLS)
def test_each_verb_passes_the_hook_once(verb: str, filled: Driver) -> None:
    noting = Noting(filled)
    CALLS[verb](noting)
    assert noting.calls == [verb]


@pytest.mark.parametrize("verb", CALLS)
def test_a_call_that_fails_before_its_work_changes_nothing_and_can_be_repeated(verb: str, filled: Driver) -> None:
    failing = FailingDriver(filled, 1)
    before = _contents(filled)
    with pytest.raises(OSError, match="as ordered"):
        CALLS[verb](failing)
    assert _contents(filled) == before
    CALLS[verb](failing)
    assert (_contents(filled) != before) == (verb in CHANGES)


@pytest.mark.parametrize("verb", sorted(CHANGES))
def test_a_change_whose_answer_is_lost_was_made_once(verb: str, filled: Driver) -> None:
    failing = FailingDriver(filled, 1, after=True)
    before = _contents(filled)
    with pytest.raises(OSError, match="as ordered"):
        CALLS[verb](failing)
    after = _contents(filled)
    assert after != before
    with suppress(PathNotFound, FileExistsError):  # what a caller takes for removed, moved or made
        CALLS[verb](failing)
    assert {path: content for path, (content, _) in _contents(filled).items()} == {
        path: content for path, (content, _) in after.items()
    }


def test_what_was_written_though_it_failed_is_already_there(filled: Driver) -> None:
    failing = FailingDriver(filled, 1, after=True)
    with pytest.raises(OSError, match="as ordered"):
        failing.write(MISSING, b"x", if_absent=True)
    with pytest.raises(AlreadyThere):
        failing.write(MISSING, b"x", if_absent=True)
    assert filled.read(MISSING) == b"x"


def _contents(driver: Driver) -> dict[str, tuple[bytes, int]]:
    """All files below the repositories with their times, and all directories."""
    found: dict[str, tuple[bytes, int]]
    found = {
        path: (driver.read(path), driver.stat(path).modified_ns) for path in map(StoragePath, files_of(driver, at()))
    }
    return {**found, **{at(name): (b"", 0) for name in driver.children(at()) if not driver.stat(at(name)).is_file}}
