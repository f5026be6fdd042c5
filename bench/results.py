"""What a run found, as it is saved."""

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import msgspec

REFERENCE = "CNCF 3.1.1"
OURS = "pyregistry"


@dataclass
class Figures:
    """One work: the values of each registry, round by round; those that met an error have none."""

    key: str
    title: str
    unit: str
    rate: bool
    target: float | None
    values: dict[str, list[float]]
    errors: dict[str, str]

    def ratios(self, other: str = REFERENCE) -> list[float]:
        """Ours to the other's, round by round, so that what slows a round down slows both."""
        pairs = zip(self.values.get(OURS, []), self.values.get(other, []), strict=False)
        return [ours / theirs for ours, theirs in pairs]

    def reached(self) -> bool | None:
        """Whether the median ratio is what is wanted; None where nothing is, or there is no ratio."""
        ratios = self.ratios()
        if self.target is None or not ratios:
            return None
        return median(ratios) >= self.target if self.rate else median(ratios) <= self.target


@dataclass
class Run:
    """All works on one medium."""

    medium: str
    version: str
    date: str
    machine: str
    missing: dict[str, str]
    figures: list[Figures] = field(default_factory=list)


def save(run: Run, path: Path) -> None:
    """As JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")


def load(path: Path) -> Run:
    """What `save` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Run)
