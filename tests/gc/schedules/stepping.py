"""A driver that stops before each call, and the baton that decides who goes on.

The actors are threads of which exactly one runs; the others wait for the baton. Whoever has it decides at its next
storage call whether it goes on or hands it over, so that a schedule without switches costs next to nothing.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

from pyregistry.storage import layout
from pyregistry.storage.driver import Appender, Driver, LockedFile, PathBusy, Source, Stat
from pyregistry.storage.layout import StoragePath

MAX_STEPS = 20_000
"""More than any schedule needs: somebody goes round in circles."""


class Killed(BaseException):
    """kill -9 of the actor that sees it: no clean-up reaches the storage any more."""


class State(Enum):
    """Of an actor."""

    READY = auto()
    BLOCKED = auto()
    FINISHED = auto()


@dataclass(frozen=True)
class Schedule:
    """Who goes on when, and is killed where; the actors by their places in the scenario, the collector last."""

    turns: tuple[int, ...]
    """Who is next whenever an operation ends, or its actor has to wait."""
    switches: tuple[tuple[int, int, int], ...] = ()
    """(actor, n, other): before its n-th step the actor is stopped, and the other one goes on."""
    kills: tuple[tuple[int, int], ...] = ()
    """(actor, n): before its n-th step the actor is killed."""
    batch: int = 1
    """How many the collector removes under one exclusive lock."""


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
    """Which of its steps take a lock."""
    baton: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Stage:
    """Where the actors of one schedule meet."""

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
            self.fail("nobody goes on: a call blocks outside of the baton")
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
            self.fail("somebody goes round in circles")
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


class SteppingDriver:
    """What one actor sees of `driver`. `changed` hears of each change after it: the call and its path."""

    def __init__(self, driver: Driver, stage: Stage, actor: Actor, changed: Callable[[str, str], None]) -> None:
        self._driver = driver
        self._stage = stage
        self._actor = actor
        self._changed = changed

    @property
    def epoch(self) -> str:
        return self._driver.epoch

    def _step(self, call: str, path: str) -> None:
        self._stage.step(self._actor, f"{call} {path}")

    def read(self, path: StoragePath, limit: int | None = None) -> bytes:
        self._step("read", path)
        return self._driver.read(path, limit)

    def write(self, path: StoragePath, data: bytes, *, durable: bool = True, private: bool = False) -> None:
        self._step("write", path)
        self._driver.write(path, data, durable=durable, private=private)
        self._changed("write", path)

    def create(self, path: StoragePath, data: bytes) -> None:
        self._step("create", path)
        self._driver.create(path, data)
        self._changed("create", path)

    def mark(self, path: StoragePath) -> None:
        self._step("mark", path)
        self._driver.mark(path)
        self._changed("write", path)

    def make_directory(self, path: StoragePath, *, durable: bool = True) -> None:
        self._step("make_directory", path)
        self._driver.make_directory(path, durable=durable)

    def stat(self, path: StoragePath) -> Stat:
        self._step("stat", path)
        return self._driver.stat(path)

    def set_mtime(self, path: StoragePath, mtime_ns: int | None) -> None:
        self._step("set_mtime", path)
        self._driver.set_mtime(path, mtime_ns)

    def children(self, path: StoragePath, after: str | None = None, *, strict: bool = False) -> Iterator[str]:
        self._step("children", path)
        yield from self._driver.children(path, after, strict=strict)  # one directory at a time is read as a whole

    def symbolic_links(self, path: StoragePath) -> list[str]:
        return self._driver.symbolic_links(path)

    def scan(self, path: StoragePath, leaf: str, *, strict: bool = False) -> Iterator[tuple[str, Stat | None]]:
        self._step("scan", path)
        scanned = self._driver.scan(path, leaf, strict=strict)
        while (found := next(scanned, None)) is not None:
            yield found
            self._step("goes on behind", f"{path}/{found[0]}")

    def move(self, source: StoragePath, target: StoragePath) -> None:
        self._step("move to", target)
        self._driver.move(source, target)
        self._changed("move", target)

    def delete(self, path: StoragePath, *, durable: bool = True) -> None:
        self._step("delete", path)
        self._driver.delete(path, durable=durable)
        self._changed("delete", path)

    def discard(self, path: StoragePath) -> None:
        self._step("discard", path)
        self._driver.discard(path)
        self._changed("discard", path)

    def sync(self) -> None:
        self._driver.sync()

    def empty_trash(self) -> None:
        self._driver.empty_trash()  # nobody can see what is in it

    def prune(self, path: StoragePath) -> bool:
        self._step("prune", path)
        return self._driver.prune(path)

    def held(self, path: StoragePath) -> AbstractContextManager[LockedFile]:
        return self._driver.held(path)  # nobody else has this upload

    def source(self, path: StoragePath) -> Source:
        self._step("source", path)
        return self._driver.source(path)

    def staged(self, source: StoragePath, target: StoragePath) -> AbstractContextManager[StoragePath]:
        return self._driver.staged(source, target)

    def places(self) -> Sequence[StoragePath]:
        return self._driver.places()

    def place_of(self, path: StoragePath) -> StoragePath:
        return self._driver.place_of(path)

    def room(self, path: StoragePath = layout.REPOSITORIES) -> int:
        return self._driver.room(path)

    def appender(
        self, path: StoragePath, *, wait: float, create: bool = False
    ) -> AbstractAsyncContextManager[Appender]:
        return self._driver.appender(path, wait=wait, create=create)  # nobody else has this upload

    @contextmanager
    def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
        self._step("lock", f"{name}{' exclusive' if exclusive else ''}")
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
