"""Findings grouped by their cause: a damaged blob hinders every image that needs it."""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from pyregistry.fsck.findings import KINDS, Finding, Kind
from pyregistry.fsck.repairing import is_lost

_RANKS: Mapping[Kind, int] = {
    kind: rank
    for rank, kind in enumerate(
        (
            Kind.CORRUPT_BLOB,
            Kind.UNREADABLE_BLOB,
            Kind.EMPTY_BLOB,
            Kind.NO_FILE,
            Kind.DAMAGED_MANIFEST,
            Kind.MISSING_MANIFEST,
            Kind.MISSING_BLOB,
            Kind.MISSING_CHILD,
            Kind.DANGLING_TAG,
            Kind.DANGLING_LAYER,
        )
    )
}
"""Kinds of findings about the bytes of one digest, the cause before what follows from it."""
_OF_MANIFEST = " of the manifest "


@dataclass(slots=True)
class Cause:
    """One thing that is wrong, with all findings that follow from it."""

    finding: Finding
    """The finding that tells most about the cause."""
    counts: Counter[Kind] = field(default_factory=Counter)
    images: set[str] = field(default_factory=set)
    """The images that cannot be pulled whole because of it; after a repair, until they are pushed again."""
    repaired: dict[str, None] = field(default_factory=dict)
    """The repairs, each once, in the order in which they were made."""

    def add(self, finding: Finding, repaired: str | None) -> None:
        """Add a finding with its repair, None if it was not repaired."""
        if _rank(finding) < _rank(self.finding):
            self.finding = finding
        self.counts[finding.kind] += 1
        if is_lost(finding, repaired):
            self.images.update(finding.lost)
        if repaired is not None:
            self.repaired[repaired] = None

    @property
    def kind(self) -> Kind:
        """The kind of the finding that tells most."""
        return self.finding.kind

    @property
    def is_damage(self) -> bool:
        """True if one of its findings is damage."""
        return any(KINDS[kind].damage for kind in self.counts)

    @property
    def weight(self) -> str:
        """Return damage, unchecked or leftover; see `Row.weight`."""
        return "damage" if self.is_damage else KINDS[self.kind].weight

    @property
    def sentence(self) -> str:
        """The sentence of its finding; the number of manifests in the place of the one, if several need a blob."""
        before, of_manifest, behind = self.finding.sentence.partition(_OF_MANIFEST)
        number = self.counts[self.kind]
        if not of_manifest or number == 1:
            return self.finding.sentence
        return f"{before} of {number} manifests {behind.partition(' ')[2]}"

    @property
    def others(self) -> Counter[Kind]:
        """Its findings, without the one that tells most."""
        return self.counts - Counter({self.kind: 1})


class Causes:
    """All causes of one run; an iteration gives damage first, then what could not be read, then leftovers."""

    def __init__(self) -> None:
        self._causes: dict[Hashable, Cause] = {}

    def add(self, finding: Finding, repaired: str | None) -> None:
        """Add a finding to its cause."""
        key = _key(finding)
        if key not in self._causes:
            self._causes[key] = Cause(finding)
        self._causes[key].add(finding, repaired)

    def __iter__(self) -> Iterator[Cause]:
        weights = ("damage", "unchecked", "leftover")
        return iter(sorted(self._causes.values(), key=lambda cause: weights.index(cause.weight)))

    def number(self, weight: str) -> int:
        """Return the number of causes of this weight."""
        return sum(cause.weight == weight for cause in self._causes.values())

    def of_kind(self, *kinds: Kind) -> bool:
        """Return True if there is a finding of one of these kinds."""
        return any(kind in cause.counts for cause in self._causes.values() for kind in kinds)

    @property
    def images(self) -> list[str]:
        """The images that cannot be pulled whole, those with a tag first."""
        found = set[str]().union(*(cause.images for cause in self._causes.values()))
        return sorted(found, key=lambda image: ("@" in image, image))


def _rank(finding: Finding) -> int:
    return _RANKS.get(finding.kind, len(_RANKS))


def _key(finding: Finding) -> Hashable:
    if finding.kind is Kind.NO_PERMISSION:
        return finding.kind
    if finding.digest is not None and finding.kind in _RANKS:
        return finding.digest
    if finding.digest is not None and finding.kind in {Kind.WRONG_SIZE, Kind.UNLINKED_BLOB}:
        return finding.kind, finding.repository if finding.kind is Kind.UNLINKED_BLOB else None, finding.digest
    return finding.kind, finding.path, finding.sentence
