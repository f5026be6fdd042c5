"""No interleaving of pushes, deletions, an operator and the collector breaks a promise; a broken protocol is noticed.

test_more_schedules.py does twice as much, and `python -m tests.gc.schedules --count 20000` searches longer.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams.coordinator import Coordinator
from tests.gc.schedules.breaking import Mutant
from tests.gc.schedules.mutants import EPOCH_MUTANTS, MUTANTS
from tests.gc.schedules.scenario import Scenario
from tests.gc.schedules.scenarios import SCENARIOS
from tests.gc.schedules.searching import search
from tests.gc.schedules.unseen import UnseenTouches
from tests.storage.epochs import EpochCoordinator

COUNT = 36
"""Schedules of each scenario: more than 2,000 in all."""
SEED = 1
ON_A_DIRECTORY = ("HEAD, upload, delete", "pushes and rm -rf", "multi-arch, untag", "emptied repository")
Way = tuple[int, dict[str, Any]]

each_scenario = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)


def ways(count: int) -> dict[str, Way]:
    """Return the ways to run a scenario: the number of schedules, and the options of the search.

    Without any grace a push may be refused, and no image is broken. Without locks, which is the way of an object store,
    no section excludes another one, and each call may be the last before a change.
    """
    return {
        "in memory": (count, {}),
        "without any grace": (count // 4, {"grace": 0}),
        "where no touch can be seen": (count // 2, {"make_driver": UnseenTouches}),
        "without locks": (count // 4, {"make_coordinator": EpochCoordinator}),
    }


def search_all(scenario: Scenario, way: Way) -> None:
    """Require that no schedule breaks a promise, and that all were run."""
    count, options = way
    outcome = search(scenario, count, SEED, **options)
    assert outcome.failure is None, outcome.failure
    assert outcome.schedules == count


def on_a_directory(root: Path, count: int) -> Way:
    """Return the way with files: each schedule has a directory of its own."""
    return count // 4, {"make_driver": lambda: FilesystemDriver(Path(tempfile.mkdtemp(dir=root)))}


@each_scenario
@pytest.mark.parametrize("way", ways(COUNT).values(), ids=ways(COUNT))
def test_no_interleaving_breaks_a_promise(scenario: Scenario, way: Way) -> None:
    search_all(scenario, way)


@pytest.mark.parametrize("name", ON_A_DIRECTORY)
def test_on_a_directory_it_is_the_same(root: Path, name: str) -> None:
    search_all(SCENARIOS[name], on_a_directory(root, COUNT))


@pytest.mark.parametrize("mutant", EPOCH_MUTANTS, ids=str)
def test_a_state_that_is_not_read_again_or_a_marker_that_is_not_made_is_caught(mutant: Mutant) -> None:
    assert find(mutant, mutant.seed, EpochCoordinator) is not None


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_protocol_with_one_thing_taken_away_is_caught(mutant: Mutant) -> None:
    assert find(mutant, mutant.seed) is not None


def find(mutant: Mutant, seed: int, make_coordinator: Callable[[Driver], Coordinator] = LocalCoordinator) -> str | None:
    """Return the first failure of a broken protocol, in 5,000 schedules."""
    with mutant.applied():
        return search(
            SCENARIOS[mutant.scenario],
            5000,
            seed,
            grace=mutant.grace,
            promises=mutant.promises,
            make_driver=UnseenTouches if mutant.unseen else MemoryDriver,
            make_coordinator=make_coordinator,
        ).failure


def test_a_failure_says_who_did_what_in_which_order() -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.name == "no commit lock")
    failure = find(mutant, mutant.seed) or ""
    assert "P1: head r b, then put r M1" in failure
    assert "  collector  discard blobs/sha256/" in failure
