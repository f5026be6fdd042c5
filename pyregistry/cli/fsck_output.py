"""How `pyregistry fsck` says what it found."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from pyregistry.cli.output import print_json, say
from pyregistry.cli.tables import Moment, human_size, is_terminal, print_table
from pyregistry.fsck.findings import KINDS, Finding, Kind
from pyregistry.fsck.repairing import is_lost
from pyregistry.fsck.scrubbing import Coverage
from pyregistry.visible import visible

_DAY_NS = 86_400 * 10**9


class Output:
    """Lines as they come, or one JSON document at the end."""

    def __init__(self, *, as_json: bool, repairing: bool) -> None:
        self.repairing = repairing
        self._as_json = as_json
        self._findings: list[dict[str, object]] = []
        self._counts: Counter[Kind] = Counter()
        self._mended: Counter[Kind] = Counter()
        self._is_all_mended = True
        self._coverage: Coverage | None = None
        self._console = Console() if is_terminal() and not as_json else None

    def found(self, finding: Finding, mended: str | None) -> None:
        """One finding; `mended` is what was done about it."""
        self._counts[finding.kind] += 1
        self._mended[finding.kind] += mended is not None
        self._is_all_mended &= not finding.is_damage or (mended is not None and not is_lost(finding, mended))
        if self._as_json:
            self._findings.append(_document(finding, mended))
            return
        self._say(f"{finding.kind} {finding.path}: {finding.sentence}")
        if is_lost(finding, mended):
            self._say(f"  lost: {' '.join(finding.lost)}")
        if mended is not None:
            self._say(f"  repaired: {mended}")

    def failed(self, finding: Finding, error: OSError) -> None:
        """A finding could not be mended."""
        say(f"pyregistry: {finding.path}: {error.strerror}", err=True)

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Something that takes a while."""
        if self._console is None:
            yield
            return
        with self._console.status(what):
            yield

    @contextmanager
    def scrubbing(self, coverage: Coverage) -> Iterator[Callable[[int], None]]:
        """A scrub; gives what is to be called with the bytes that were read."""
        if self._console is None:
            yield lambda size: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=self._console) as progress:
            task = progress.add_task("scrub", total=None)

            def advance(size: int) -> None:
                progress.update(task, total=coverage.size, completed=coverage.checked_size)

            yield advance

    def scrubbed(self, coverage: Coverage) -> None:
        """How far the scrub came."""
        self._coverage = coverage
        if self._as_json:
            return
        age = "none was ever read"
        if coverage.oldest is not None:
            age = f"the oldest reading is {max(time.time_ns() - coverage.oldest, 0) / _DAY_NS:.1f} days old"
        self._say(
            f"scrub: {coverage.checked} of {coverage.blobs} blobs, {human_size(coverage.checked_size)} of "
            f"{human_size(coverage.size)}; {coverage.never} never found right; {age}"
        )

    def end(self) -> None:
        """The summary."""
        if self._as_json:
            print_json(
                {
                    "findings": self._findings,
                    "damaged": self._damage(),
                    "leftovers": self._counts.total() - self._damage(),
                    "repaired": self._mended.total(),
                    "scrub": _coverage_document(self._coverage),
                }
            )
        elif self._console is not None and self._counts:
            rows = [(kind, number, self._mended[kind], KINDS[kind].mending or "-") for kind, number in self._rows()]
            print_table(("FOUND", "NUMBER", "REPAIRED", "--repair"), rows)
        else:
            leftovers = self._counts.total() - self._damage()
            repaired = f", {self._mended.total()} repaired" if self.repairing else ""
            say(f"{self._damage()} damaged, {leftovers} left over{repaired}")

    def status(self, *, found: int, left: int) -> int:
        """Which of these the command ends with, or 0 for no damage."""
        if not self._damage():
            return 0
        return left if self.repairing and not self._is_all_mended else found

    def _say(self, line: str) -> None:
        if self._console is None:
            say(line)
        else:  # above the bar that is being drawn
            self._console.print(visible(line), markup=False, highlight=False, soft_wrap=True)

    def _damage(self) -> int:
        return sum(number for kind, number in self._counts.items() if KINDS[kind].damage)

    def _rows(self) -> list[tuple[Kind, int]]:
        return sorted(self._counts.items(), key=lambda item: (not KINDS[item[0]].damage, item[0]))


def _document(finding: Finding, mended: str | None) -> dict[str, object]:
    return {
        "kind": finding.kind,
        "path": finding.path,
        "sentence": finding.sentence,
        "damage": finding.is_damage,
        "repairable": finding.is_repairable,
        "repaired": mended,
        "lost": finding.lost if is_lost(finding, mended) else (),
    }


def _coverage_document(coverage: Coverage | None) -> dict[str, object] | None:
    if coverage is None:
        return None
    return {
        "blobs": coverage.blobs,
        "bytes": coverage.size,
        "checked": coverage.checked,
        "checked_bytes": coverage.checked_size,
        "never": coverage.never,
        "oldest": Moment(coverage.oldest // 10**9).text if coverage.oldest is not None else None,
        "complete": coverage.checked == coverage.blobs,
    }
