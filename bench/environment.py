"""A work, and the environment of a registry that is measured in it."""

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
class Environment:
    """A registry, started for one work."""

    contender: Contender
    server: Server
    data: Path
    workspace: Path
    programs: Programs
    engine: Engine | None = None
    known: dict[str, str] = field(default_factory=dict)
    load: float | None = None
    """Seconds of processor time that the load used while its clock ran, if it reports them."""
    logged: str = ""

    def drop(self, digests: list[str]) -> None:
        """Delete the data of blobs that are not needed again."""
        for digest in digests:
            encoded = digest.partition(":")[2]
            for found in self.data.glob(f"**/{encoded[:2]}/{encoded}/data"):
                found.unlink()

    def start_clean(self) -> None:
        """Restart the registry without data and caches."""
        self.server.stop()
        shutil.rmtree(self.data)
        self.data.mkdir()
        self.server.start()

    def restart(self) -> None:
        """Restart the registry with its data, without caches."""
        self.server.restart()


@dataclass(frozen=True)
class Work:
    """A kind of measurement. `prepare` runs once for each registry, `before` ahead of each measurement, uncounted."""

    key: str
    title: str
    unit: str
    measure: Callable[[Environment], float]
    prepare: Callable[[Environment], None] = lambda _: None
    before: Callable[[Environment], None] = lambda _: None
    rate: bool = False
    target: Target | None = None
    contenders: tuple[str, ...] = ()
    """Registries that take part; empty: all."""
    bcrypt_cost: int | None = None
    repositories: int | None = None
    """Use a shared data directory with so many repositories."""
    tags: int = 0
    """Tags of one more repository in it."""
    engine: bool = False
    quick: bool = False
    rounds: int | None = None
    group: str = ""
    """Works of one group are measured interleaved, so that they can be compared."""
