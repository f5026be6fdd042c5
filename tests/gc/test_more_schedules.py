"""The schedules of test_schedules.py, twice as many, and each broken protocol searched from the same seed."""

from pathlib import Path

import pytest

from tests.gc.schedules.breaking import Mutant
from tests.gc.schedules.mutants import EPOCH_MUTANTS, MUTANTS
from tests.gc.schedules.scenario import Scenario
from tests.gc.schedules.scenarios import SCENARIOS
from tests.gc.test_schedules import (
    COUNT,
    ON_A_DIRECTORY,
    SEED,
    Way,
    each_scenario,
    find,
    on_a_directory,
    search_all,
    ways,
)
from tests.storage.epochs import EpochCoordinator

MORE = 2 * COUNT


@each_scenario
@pytest.mark.parametrize("way", ways(MORE).values(), ids=ways(MORE))
def test_no_interleaving_breaks_a_promise(scenario: Scenario, way: Way) -> None:
    search_all(scenario, way)


@pytest.mark.parametrize("name", ON_A_DIRECTORY)
def test_on_a_directory_it_is_the_same(root: Path, name: str) -> None:
    search_all(SCENARIOS[name], on_a_directory(root, MORE))


@pytest.mark.parametrize("mutant", [each for each in EPOCH_MUTANTS if each.seed != SEED], ids=str)
def test_a_state_that_is_not_read_again_is_caught_from_the_usual_seed(mutant: Mutant) -> None:
    assert find(mutant, SEED, EpochCoordinator) is not None


@pytest.mark.parametrize("mutant", [each for each in MUTANTS if each.seed != SEED], ids=str)
def test_a_protocol_with_one_thing_taken_away_is_caught_from_the_usual_seed(mutant: Mutant) -> None:
    assert find(mutant, SEED) is not None
