"""The choice of schedules.

Operations in any order, and in the midst of them up to three events: a preemption, or kill -9 of an actor. Nearly all
known races of real programs need no more.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, permutations

from pyregistry.storage.local.coordinator import LocalCoordinator
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams.coordinator import Coordinator
from pyregistry.storage.seams.rules import GRACE_SECONDS
from tests.gc.schedules.scenario import Scenario
from tests.gc.schedules.stepping import Actor, Schedule
from tests.gc.schedules.world import World


@dataclass
class Outcome:
    """Of a search: how much was tried, and the first failure, for a person to read."""

    schedules: int = 0
    steps: int = 0
    failure: str | None = None


def search(
    scenario: Scenario,
    count: int,
    seed: int,
    *,
    grace: float = GRACE_SECONDS,
    promises: str = "",
    make_driver: Callable[[], Driver] = MemoryDriver,
    make_coordinator: Callable[[Driver], Coordinator] = LocalCoordinator,
) -> Outcome:
    """Try `count` schedules, or fewer if one breaks a promise: one of `promises`, or any."""
    outcome = Outcome()
    choices = _Choices(scenario, random.Random(f"{seed} {scenario.name}"))
    for schedule in islice(choices, count):
        world = World(scenario, make_driver(), schedule, grace, make_coordinator)
        world.run()
        if not schedule.kills:
            choices.learn(world.actors)
        outcome.schedules += 1
        outcome.steps += world.stage.steps
        if world.failure is not None and (not promises or world.failure[0] in promises):
            outcome.failure = report(scenario, schedule, world)
            break
    return outcome


class _Choices:
    """Schedules for one scenario, without end."""

    def __init__(self, scenario: Scenario, choice: random.Random) -> None:
        self._choice = choice
        self._turns = [place for place, each in enumerate(scenario.actors.values()) for _ in each]
        self._turns.append(len(scenario.actors))
        self._actors = range(len(scenario.actors) + 1)
        self._lengths = [1] * len(self._actors)
        self._locks = [[0] for _ in self._actors]

    def learn(self, actors: list[Actor]) -> None:
        """Learn the number of steps of each, and which of them take locks: most races are right before one."""
        for actor in actors:
            if actor.steps > self._lengths[actor.place]:
                self._lengths[actor.place], self._locks[actor.place] = actor.steps, actor.locks or [0]

    def __iter__(self) -> Iterator[Schedule]:
        for turns in permutations(self._actors):
            yield Schedule(turns)
        while True:
            yield self._random(0)
            for events in (1, 1, 1, 2, 2, 3):
                yield self._random(events)

    def _random(self, events: int) -> Schedule:
        choice = self._choice
        turns = choice.sample([*self._turns, *self._actors], len(self._turns) + len(self._actors))
        kills = min(events, choice.random() < 0.25)
        switches = [(*self._step(), choice.choice(self._actors)) for _ in range(events - kills)]
        killed = [self._step() for _ in range(kills)]
        return Schedule(tuple(turns), tuple(switches), tuple(killed), choice.choice((1, 1, 1, 64)))

    def _step(self) -> tuple[int, int]:
        actor = self._choice.choice(self._actors)
        if self._choice.random() < 0.4:
            return actor, self._choice.choice(self._locks[actor])
        return actor, self._choice.randrange(self._lengths[actor])


def report(scenario: Scenario, schedule: Schedule, world: World) -> str:
    """Return the interleaving, one line for each step, a blank one wherever another actor continues."""
    lines = [f"{world.failure}", f'in "{scenario.name}", {schedule}', ""]
    for name, operations in scenario.actors.items():
        lines.append(f"  {name}: " + ", then ".join(map(str, operations)))
    before = ""
    for name, what in world.stage.trace:
        if name != before:
            lines.append("")
            before = name
        lines.append(f"  {name:10} {_readable(scenario, what)}")
    return "\n".join(lines)


def _readable(scenario: Scenario, what: str) -> str:
    text = what.replace("docker/registry/v2/", "")
    for name, digest in scenario.digest.items():
        text = text.replace(f"{digest.encoded[:2]}/{digest.encoded}", name).replace(digest.encoded, name)
    return text
