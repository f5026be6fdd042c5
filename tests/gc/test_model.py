"""The model of the protocol comes out as expected, and docs/gc.md, the model and the code speak of the same steps."""

import importlib
import re

import pytest

from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams import layout
from tests.gc.model.__main__ import run
from tests.gc.model.protocol import Protocol
from tests.gc.model.scenarios import SCENARIOS as MODELLED
from tests.gc.model.variants import BIG, SMALL, VARIANTS
from tests.gc.model.writers import Actor
from tests.gc.schedules.mutants import MUTANTS
from tests.gc.schedules.scenario import Scenario
from tests.gc.schedules.scenarios import SCENARIOS
from tests.gc.schedules.stepping import Schedule
from tests.gc.schedules.world import World
from tests.processes import SOURCE_TREE

NAMES = [variant[0] for variant in VARIANTS]
QUICK = [
    "no commit lock",
    "no barrier",
    "generation checked at enumeration only (no re-check)",
    "mark before enumerate",
    "children swept before their index",
]


def test_the_full_protocol_keeps_its_promises_in_all_small_scenarios() -> None:
    assert run(NAMES.index("FULL PROTOCOL"), False, SMALL)


@pytest.mark.parametrize("name", QUICK)
def test_a_protocol_without_one_of_its_parts_does_not(name: str) -> None:
    assert run(NAMES.index(name), False)


def test_the_code_is_run_in_every_scenario_of_the_model() -> None:
    assert set(MODELLED) <= set(SCENARIOS)
    assert set(BIG) | set(SMALL) == set(MODELLED)
    for name in MODELLED:
        assert SCENARIOS[name].untagged == MODELLED[name].untagged, name


def test_nearly_all_parts_that_the_model_leaves_out_are_left_out_of_the_code_too() -> None:
    assert len({mutant.name for mutant in MUTANTS} & set(NAMES)) >= 20


def _table() -> list[tuple[list[str], list[str]]]:
    text = (SOURCE_TREE / "docs" / "gc.md").read_text()
    rows = re.findall(r"^\| (`.*?) \| (`.*?) \|$", text[text.index("| step of the model |") :], re.MULTILINE)
    return [(re.findall(r"`([^`]+)`", steps), re.findall(r"`([^`]+)`", code)) for steps, code in rows]


def test_every_step_that_the_documentation_names_is_in_the_model_and_in_the_code() -> None:
    model = SOURCE_TREE / "tests" / "gc" / "model"
    source = "".join((model / name).read_text() for name in ("writers.py", "collector.py"))
    rows = _table()
    assert len(rows) >= 20
    for steps, places in rows:
        for step in steps:
            assert re.search(rf'"{re.escape(step)}(?!\w)', source), step
        for place in places:
            _find(place)


def _find(place: str) -> object:
    """Raises if it is not there."""
    module, *rest = re.fullmatch(r"(\w+\.\w+)\.(.+)", place).groups()  # type: ignore[union-attr] # else it fails here
    found: object = importlib.import_module(f"pyregistry.{module}")
    for name in rest[0].split("."):
        found = getattr(found, name)
    return found


# What a writer changes, as the model says it and as the driver sees it.
SAID = {
    "touches": "touch",
    "renews the lease": "lease",
    "ends the leases, 201": "lease",
    "renames the uploaded data in": "data",
    "writes the link, 201": "layer link",
    "writes the manifest blob": "data",
    "writes the revision link": "revision link",
    "writes the tag": "tag",
}
SEEN = {
    r"set_mtime .*/data$": "touch",
    r"set_mtime .*/link$": "lease",
    r"(move to|write) .*blobs/.*/data$": "data",
    r"write .*/_layers/.*/link$": "layer link",
    r"write .*/revisions/.*/link$": "revision link",
    r"write .*/current/link$": "tag",
}


@pytest.mark.parametrize("collecting", [True, False], ids=["a collector runs", "none runs"])
@pytest.mark.parametrize(
    "name", ["HEAD, HEAD", "old image deleted", "mount, rm -rf source", "tag moved", "multi-arch, untag"]
)
def test_a_writer_changes_the_store_in_the_order_of_the_model(name: str, collecting: bool) -> None:
    for actor in MODELLED[name].names:
        if actor.startswith("P"):
            said = _said(name, actor, collecting)
            assert len(said) > 2
            assert ("touch" in said) == collecting
            assert _seen(SCENARIOS[name], actor, collecting) == said, actor


def _said(name: str, actor: str, collecting: bool) -> list[str]:
    scenario = MODELLED[name]
    place, state, said = scenario.names.index(actor), scenario.start, []
    if collecting:
        *others, collector = state[-1]
        state = (*state[:-1], (*others, ("enumerate", *collector[1:])))
    while steps := [
        (what, new)
        for (_, _, what), new in Actor(Protocol(), scenario, state, place).steps
        if what not in ("kill -9", "data is there (no lock)")
    ]:
        what, state = steps[0]
        said += [kind for begin, kind in SAID.items() if what.startswith(begin)]
    return _without_repetitions(said)


def _seen(scenario: Scenario, actor: str, collecting: bool) -> list[str]:
    driver = MemoryDriver()
    if collecting:
        driver.make_directory(layout.TOUCHED)
    world = World(scenario, driver, Schedule((list(scenario.actors).index(actor),)))
    world.run()
    calls = [what for who, what in world.stage.trace if who == actor]
    # A data file is touched when it was written: one step in the model, under one lock in the code.
    seen = [kind for what in calls for pattern, kind in SEEN.items() if re.match(pattern, what)]
    return _without_repetitions(
        [kind for before, kind in zip(["", *seen], seen, strict=False) if (before, kind) != ("data", "touch")]
    )


def _without_repetitions(kinds: list[str]) -> list[str]:
    return [kind for before, kind in zip(["", *kinds], kinds, strict=False) if before != kind]
