"""One registry that is started for one work, and what a work is."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.loads import Programs
from bench.results import Target
from bench.servers import Contender
from tests.engine.engine import Engine
from tests.processes import Server


@dataclass
class Bed:
    """One registry, started for one work."""

    contender: Contender
    server: Server
    data: Path
    workspace: Path
    programs: Programs
    engine: Engine | None = None
    known: dict[str, str] = field(default_factory=dict)
    load: float | None = None
    """Seconds of processor time that the load took, where only it knows when its clock ran."""
    logged: str = ""

    def drop(self, digests: list[str]) -> None:
        """Free the bytes of blobs that nobody will ask for again."""
        for digest in digests:
            encoded = digest.partition(":")[2]
            for found in self.data.glob(f"**/{encoded[:2]}/{encoded}/data"):
                found.unlink()

    def start_clean(self) -> None:
        """Without data, and without what the registry remembers of it."""
        self.server.stop()
        shutil.rmtree(self.data)
        self.data.mkdir()
        self.server.start()

    def restart(self) -> None:
        """With its data, and nothing in memory."""
        self.server.restart()


@dataclass(frozen=True)
class Work:
    """`prepare` is done once for each registry, `before` ahead of each measurement, which does not count it."""

    key: str
    title: str
    unit: str
    measure: Callable[[Bed], float]
    prepare: Callable[[Bed], None] = lambda _: None
    before: Callable[[Bed], None] = lambda _: None
    rate: bool = False
    target: Target | None = None
    contenders: tuple[str, ...] = ()
    """Those that take part; without it all."""
    bcrypt_cost: int | None = None
    repositories: int | None = None
    """On the data directory with so many repositories, which the contenders share."""
    tags: int = 0
    """In one more repository of that."""
    engine: bool = False
    quick: bool = False
    rounds: int | None = None
    group: str = ""
    """Works of one group are measured in turn, so that they can be compared with each other."""
