"""A driver that stops before each call, and the baton that decides which actor continues.

The actors are threads of which exactly one runs; the others wait for the baton. Its holder decides at its next storage
call whether it continues or hands it over, so that a schedule without switches costs next to nothing.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeVar

from pyregistry.storage.delegating import DelegatingDriver
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import PathBusy, PathNotFound

T = TypeVar("T")

MAX_STEPS = 20_000
"""More than any schedule needs: an actor goes round in circles."""


class Killed(BaseException):
    """kill -9 of the actor that sees it: no clean-up reaches the storage after that."""


class State(Enum):
    """Of an actor."""

    READY = auto()
    BLOCKED = auto()
    FINISHED = auto()


@dataclass(frozen=True)
class Schedule:
    """The order of the actors, and their kills; the actors have their places in the scenario, the collector is last."""

    turns: tuple[int, ...]
    """The next actor whenever an operation ends, or its actor has to wait."""
    switches: tuple[tuple[int, int, int], ...] = ()
    """(actor, n, other): before its n-th step the actor is stopped, and the other one continues."""
    kills: tuple[tuple[int, int], ...] = ()
    """(actor, n): before its n-th step the actor is killed."""
    batch: int = 1
    """The number that the collector removes under one exclusive lock."""


@dataclass
class Actor:
    """One who takes part: a push, an operator, the collector."""

    name: str
    work: Callable[["Actor"], None]
    state: State = State.READY
    killed: bool = False
    place: int = 0
    steps: int = 0
    locks: list[int] = field(default_factory=list)
    """Those of its steps that take a lock."""
    baton: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Stage:
    """The meeting place of the actors of one schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self.steps = 0
        self.trace: list[tuple[str, str]] = []
        self.failure: str | None = None
        self._switches = {(actor, step): other for actor, step, other in schedule.switches}
        self._kills = set(schedule.kills)
        self._turns = list(schedule.turns)
        self._actors: list[Actor] = []
        self._done = threading.Event()

    def run(self, actors: list[Actor]) -> None:
        """Let all of them run to their ends; what went wrong is in `failure`."""
        self._actors = actors
        for place, actor in enumerate(actors):
            actor.place = place
        threads = [threading.Thread(target=self._perform, args=(actor,), daemon=True) for actor in actors]
        for thread in threads:
            thread.start()
        self._next_turn(actors).baton.release()
        if not self._done.wait(60):
            self.fail("no actor continues: a call blocks outside of the baton")
            return
        for thread in threads:
            thread.join()

    def fail(self, reason: str) -> None:
        """The first failure counts; from now on every step is the last."""
        self.failure = self.failure or reason

    def step(self, actor: Actor, what: str) -> None:
        """Called before each storage call, by the actor that has the baton."""
        if actor.killed or self.failure is not None:
            raise Killed
        if self.steps > MAX_STEPS:
            self.fail("an actor goes round in circles")
            raise Killed
        at = (actor.place, actor.steps)
        actor.steps += 1
        if what.startswith("lock"):
            actor.locks.append(at[1])
        self._pass_on(actor, self._switches.pop(at, None))
        if at in self._kills and self.failure is None:
            self._kills.discard(at)
            actor.killed = True
            self.trace.append((actor.name, f"killed before: {what}"))
        if actor.killed or self.failure is not None:
            raise Killed
        self.steps += 1
        self.trace.append((actor.name, what))

    def end_operation(self, actor: Actor) -> None:
        """Between two operations of an actor."""
        ready = self._ready()
        self._hand_over(actor, self._next_turn(ready))
        if self.failure is not None:
            raise Killed

    def block(self, actor: Actor, name: str) -> None:
        """The lock of that name is held: wait until some lock is given back."""
        actor.state = State.BLOCKED
        self.trace.append((actor.name, f"waits for {name}"))
        self._pass_on(actor)
        if actor.killed or self.failure is not None:
            raise Killed

    def released(self) -> None:
        """Some lock was given back."""
        for actor in self._actors:
            if actor.state is State.BLOCKED:
                actor.state = State.READY

    def _pass_on(self, actor: Actor, wanted: int | None = None) -> None:
        ready = self._ready()
        if wanted is not None and self._actors[wanted] in ready:
            self._hand_over(actor, self._actors[wanted])
        elif actor not in ready:
            self._hand_over(actor, self._next_turn(ready))

    def _hand_over(self, actor: Actor, following: Actor) -> None:
        if following is not actor:
            following.baton.release()
            actor.baton.acquire()

    def _ready(self) -> list[Actor]:
        left = [actor for actor in self._actors if actor.state is not State.FINISHED]
        ready = [actor for actor in left if actor.state is State.READY]
        if left and not ready:
            self.fail("deadlock: " + ", ".join(actor.name for actor in left))
        return ready if self.failure is None else left

    def _next_turn(self, ready: list[Actor]) -> Actor:
        while self._turns:
            if (actor := self._actors[self._turns.pop(0)]) in ready:
                return actor
        return ready[0]

    def _perform(self, actor: Actor) -> None:
        actor.baton.acquire()
        try:
            actor.work(actor)
        except Killed:
            pass
        except Exception as error:
            self.fail(f"{actor.name}: {type(error).__name__}: {error}")
        actor.state = State.FINISHED
        self.released()
        if ready := self._ready():
            self._next_turn(ready).baton.release()
        else:
            self._done.set()


_CHANGES = {
    "write": "write",
    "create": "create",
    "mark": "write",
    "move": "move",
    "delete": "delete",
    "discard": "discard",
}
"""Verbs after which the store is looked at, and what they count as."""
_UNSEEN = frozenset({"symbolic_links", "sync", "empty_trash", "open_locked", "appender", "staged", "available_bytes"})
"""Calls that no other actor can tell: an upload has one actor, and what is in the trash no reader sees."""


class SteppingDriver(DelegatingDriver):
    """The `driver` of one actor. `changed` hears of each change after it: the call and its path."""

    def __init__(self, driver: Driver, stage: Stage, actor: Actor, changed: Callable[[str, str], None]) -> None:
        super().__init__(driver)
        self._stage = stage
        self._actor = actor
        self._changed = changed

    def around(self, verb: str, path: str, work: Callable[[], T]) -> T:
        if verb in _UNSEEN:
            return work()
        self._stage.step(self._actor, f"{'move to' if verb == 'move' else verb} {path}")
        done = work()
        if verb in _CHANGES:
            self._changed(_CHANGES[verb], path)
        return done

    def went_on(self, path: StoragePath, name: str) -> None:
        self._stage.step(self._actor, f"continues after {path}/{name}")

    def delete_many(self, paths: Iterable[StoragePath]) -> None:
        for path in paths:  # a reader may see some of them gone
            with suppress(PathNotFound):
                self.delete(path)

    @contextmanager
    def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
        self._stage.step(self._actor, f"lock {name}{' exclusive' if exclusive else ''}")
        while True:
            held = self._driver.lock(name, exclusive=exclusive, wait=False)
            try:
                held.__enter__()
                break
            except PathBusy:
                if not wait:
                    raise
                self._stage.block(self._actor, name)
        try:
            yield
        finally:
            held.__exit__(None, None, None)
            self._stage.released()
