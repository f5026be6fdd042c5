"""The schedules of test_schedules.py, twice as many, and each broken protocol searched from the same seed."""

import tempfile
from pathlib import Path
from typing import Any

import pytest

from pyregistry.storage.local.filesystem import FilesystemDriver
from tests.gc.schedules.breaking import Mutant
from tests.gc.schedules.mutants import EPOCH_MUTANTS, MUTANTS
from tests.gc.schedules.scenario import Scenario
from tests.gc.schedules.scenarios import SCENARIOS
from tests.gc.schedules.searching import search
from tests.gc.schedules.unseen import UnseenTouches
from tests.gc.test_schedules import COUNT, SEED, find
from tests.storage.epochs import EpochCoordinator

MORE = 2 * COUNT
WAYS: dict[str, tuple[int, dict[str, Any]]] = {
    "in memory": (MORE, {}),
    "without any grace": (MORE // 4, {"grace": 0}),
    "where no touch can be seen": (MORE // 2, {"make_driver": UnseenTouches}),
    "without locks": (MORE // 4, {"make_coordinator": EpochCoordinator}),
}


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
@pytest.mark.parametrize(("count", "options"), WAYS.values(), ids=WAYS)
def test_no_interleaving_breaks_a_promise(scenario: Scenario, count: int, options: dict[str, Any]) -> None:
    outcome = search(scenario, count, SEED, **options)
    assert outcome.failure is None, outcome.failure
    assert outcome.schedules == count


@pytest.mark.parametrize(
    "name", ["HEAD, upload, delete", "pushes and rm -rf", "multi-arch, untag", "emptied repository"]
)
def test_on_a_directory_it_is_the_same(root: Path, name: str) -> None:
    def make_driver() -> FilesystemDriver:
        return FilesystemDriver(Path(tempfile.mkdtemp(dir=root)))

    outcome = search(SCENARIOS[name], MORE // 4, SEED, make_driver=make_driver)
    assert outcome.failure is None, outcome.failure


@pytest.mark.parametrize("mutant", [each for each in EPOCH_MUTANTS if each.seed != SEED], ids=str)
def test_a_state_that_is_not_read_again_is_caught_from_the_usual_seed(mutant: Mutant) -> None:
    assert find(mutant, SEED, EpochCoordinator) is not None


@pytest.mark.parametrize("mutant", [each for each in MUTANTS if each.seed != SEED], ids=str)
def test_a_protocol_with_one_thing_taken_away_is_caught_from_the_usual_seed(mutant: Mutant) -> None:
    assert find(mutant, SEED) is not None
