"""The results of a run, as they are saved."""

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
    """The target for the median of the ratios or, if it is absolute, of our own figures."""

    sign: Literal["≥", "≤", "±"]
    number: float
    absolute: bool = False

    def met(self, found: float) -> bool:
        """Return True if the figure meets the target; ± limits the distance from 1."""
        if self.sign == "±":
            return abs(found - 1) <= self.number
        return found >= self.number if self.sign == "≥" else found <= self.number


@dataclass
class Figures:
    """The results of a work: values of each registry, round by round; none after an error."""

    key: str
    title: str
    unit: str
    rate: bool
    target: Target | None
    values: dict[str, list[float]]
    errors: dict[str, str] = field(default_factory=dict)
    version: str = ""
    """The measured commit: a run of some works keeps the others."""
    date: str = ""
    machine: str = ""
    """The machine, if it is not that of the run."""
    seconds: float = 0
    """Duration of all rounds, with their preparation."""
    load: dict[str, list[float]] = field(default_factory=dict)
    """Share of the load in the processor time of load and registry, for each value."""
    strangers: list[float] = field(default_factory=list)
    """Share of programs outside the bench in all processors, for each measurement."""
    ours: str = OURS
    reference: str = REFERENCE

    def ratios(self, other: str | None = None) -> list[float]:
        """Return ratios of ours to the other's, round by round, as other load slows both."""
        pairs = zip(self.values.get(self.ours, []), self.values.get(other or self.reference, []), strict=False)
        return [ours / theirs for ours, theirs in pairs]

    def judged(self) -> list[float]:
        """Return the values that the target applies to."""
        absolute = self.target is not None and self.target.absolute
        return self.values.get(self.ours, []) if absolute else self.ratios()

    def reached(self) -> bool | None:
        """Return True if the median meets the target; None without a target or values."""
        judged = self.judged()
        return None if self.target is None or not judged else self.target.met(median(judged))


@dataclass
class Run:
    """The results of all works on one medium."""

    medium: str
    machine: str
    missing: dict[str, str]
    configs: dict[str, str] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    """Log lines of each registry for one GET of a manifest."""
    figures: list[Figures] = field(default_factory=list)

    def keep(self, before: "Run", keys: Collection[str]) -> None:
        """Adopt an earlier run's results of these works, with its machine."""
        self.figures = [each for each in before.figures if each.key in keys]
        self.logs = dict(before.logs)
        if before.machine != self.machine:
            for each in self.figures:
                each.machine = each.machine or before.machine


def save(run: Run, path: Path) -> None:
    """Save a run as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")


def load(path: Path) -> Run:
    """Load a saved run."""
    return msgspec.json.decode(path.read_bytes(), type=Run)
