"""No interleaving of pushes, deletions, an operator and the collector breaks a promise; a broken protocol is noticed.

test_more_schedules.py does twice as much, and `python -m tests.gc.schedules --count 20000` searches longer.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

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

each_scenario = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)


@each_scenario
def test_no_interleaving_breaks_a_promise(scenario: Scenario) -> None:
    outcome = search(scenario, COUNT, SEED)
    assert outcome.failure is None, outcome.failure
    assert outcome.schedules == COUNT


@each_scenario
def test_without_any_grace_a_push_may_be_refused_and_no_image_is_broken(scenario: Scenario) -> None:
    outcome = search(scenario, COUNT // 4, SEED, grace=0)
    assert outcome.failure is None, outcome.failure


@each_scenario
def test_where_no_touch_can_be_seen_it_is_the_same(scenario: Scenario) -> None:
    outcome = search(scenario, COUNT // 2, SEED, make_driver=UnseenTouches)
    assert outcome.failure is None, outcome.failure


@pytest.mark.parametrize(
    "name", ["HEAD, upload, delete", "pushes and rm -rf", "multi-arch, untag", "emptied repository"]
)
def test_on_a_directory_it_is_the_same(root: Path, name: str) -> None:
    def make_driver() -> FilesystemDriver:
        return FilesystemDriver(Path(tempfile.mkdtemp(dir=root)))

    outcome = search(SCENARIOS[name], COUNT // 4, SEED, make_driver=make_driver)
    assert outcome.failure is None, outcome.failure


@each_scenario
def test_without_locks_a_state_that_is_read_again_keeps_the_same_promises(scenario: Scenario) -> None:
    """The way of an object store: no section excludes another one, and each call may be the last before a change."""
    outcome = search(scenario, COUNT // 4, SEED, make_coordinator=EpochCoordinator)
    assert outcome.failure is None, outcome.failure


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
