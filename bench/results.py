"""What a run found, as it is saved."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

import msgspec

REFERENCE = "CNCF 3.1.1"
OURS = "pyregistry"


@dataclass(frozen=True)
class Target:
    """What is wanted of the median of the ratios or, where it is absolute, of our own figures."""

    sign: Literal["≥", "≤", "±"]
    number: float
    absolute: bool = False

    def met(self, found: float) -> bool:
        """± is the distance from 1."""
        if self.sign == "±":
            return abs(found - 1) <= self.number
        return found >= self.number if self.sign == "≥" else found <= self.number


@dataclass
class Figures:
    """One work: the values of each registry, round by round; those that met an error have none."""

    key: str
    title: str
    unit: str
    rate: bool
    target: Target | None
    values: dict[str, list[float]]
    errors: dict[str, str] = field(default_factory=dict)
    version: str = ""
    """The commit that was measured: a run of some works leaves the others as they were."""
    date: str = ""
    machine: str = ""
    """Where it is not that of the run."""
    seconds: float = 0
    """What all rounds of it took, with what was prepared for them."""
    load: dict[str, list[float]] = field(default_factory=dict)
    """The part of the load in the processor time that it and the registry took, beside each value."""
    strangers: list[float] = field(default_factory=list)
    """The part of all processors that went to programs which are none of the bench's, in each measurement."""
    ours: str = OURS
    reference: str = REFERENCE

    def ratios(self, other: str | None = None) -> list[float]:
        """Ours to the other's, round by round, so that what slows a round down slows both."""
        pairs = zip(self.values.get(self.ours, []), self.values.get(other or self.reference, []), strict=False)
        return [ours / theirs for ours, theirs in pairs]

    def judged(self) -> list[float]:
        """What the target speaks of."""
        absolute = self.target is not None and self.target.absolute
        return self.values.get(self.ours, []) if absolute else self.ratios()

    def reached(self) -> bool | None:
        """Whether the median is what is wanted; None where nothing is, or there is nothing to judge."""
        judged = self.judged()
        return None if self.target is None or not judged else self.target.met(median(judged))


@dataclass
class Run:
    """All works on one medium."""

    medium: str
    machine: str
    missing: dict[str, str]
    configs: dict[str, str] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    """What each registry writes for one GET of a manifest."""
    figures: list[Figures] = field(default_factory=list)

    def keep(self, before: "Run", keys: Collection[str]) -> None:
        """Take over what a run before this one found in these works, with what it was found on."""
        self.figures = [each for each in before.figures if each.key in keys]
        self.logs = dict(before.logs)
        if before.machine != self.machine:
            for each in self.figures:
                each.machine = each.machine or before.machine


def save(run: Run, path: Path) -> None:
    """As JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")


def load(path: Path) -> Run:
    """What `save` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Run)
