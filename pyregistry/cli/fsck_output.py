"""Output of `pyregistry fsck`: causes, a summary, the next steps."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from pyregistry.cli.fsck_steps import Run, next_steps
from pyregistry.cli.output import print_json, say
from pyregistry.cli.tables import Moment, human_size, is_terminal, print_table
from pyregistry.common.visible import visible
from pyregistry.fsck.causes import Cause, Causes
from pyregistry.fsck.checking import Progress as CheckProgress
from pyregistry.fsck.findings import KINDS, Finding, Kind
from pyregistry.fsck.repairing import is_lost
from pyregistry.fsck.scrubbing import Coverage

STOPPED = "stopped"
FAILED = "failed"
"""Reasons of a run that ended early: a signal, or an error that is printed after the summary."""
_DAY_NS = 86_400 * 10**9
_CAUSES_OF_A_KIND = 20
_IMAGES_OF_A_CAUSE = 5
_IMAGES = 50


class Output:
    """Prints the causes of the findings, a summary and the next steps; or one JSON document."""

    def __init__(self, run: Run, *, as_json: bool) -> None:
        self.repairing = run.repairing
        self.checked = CheckProgress()
        self._run = run
        self._as_json = as_json
        self._findings: list[dict[str, object]] = []
        self._causes = Causes()
        self._counts: Counter[Kind] = Counter()
        self._repaired: Counter[Kind] = Counter()
        self._is_all_repaired = True
        self._coverage: Coverage | None = None
        self._console = Console() if is_terminal() and not as_json else None

    def found(self, finding: Finding, repaired: str | None) -> None:
        """Add a finding; `repaired` is its repair."""
        self._counts[finding.kind] += 1
        self._repaired[finding.kind] += repaired is not None
        self._is_all_repaired &= not finding.is_damage or (repaired is not None and not is_lost(finding, repaired))
        self._causes.add(finding, repaired)
        if self._as_json:
            self._findings.append(_document(finding, repaired))

    def found_early(self, finding: Finding) -> None:
        """Show a damaged blob at once, as a scrub may take days before the causes are shown."""
        if self._console is not None:
            self._say(f"found {finding.kind} {finding.path}")
        elif not self._as_json:
            say(f"pyregistry: found {finding.kind} {finding.path}", err=True)

    def failed(self, finding: Finding, error: OSError) -> None:
        """Show that a finding could not be repaired."""
        say(f"pyregistry: cannot repair {finding.path}: {error.strerror}", err=True)

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Show that a step takes a while."""
        if self._console is None:
            yield
            return
        with self._console.status(what):
            yield

    @contextmanager
    def scrubbing(self, coverage: Coverage) -> Iterator[Callable[[int], None]]:
        """Show a scrub; yield a function that takes the number of bytes read."""
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
        """Show the coverage of the scrub."""
        self._coverage = coverage
        if self._as_json:
            return
        age = "none was ever verified"
        if coverage.oldest is not None:
            age = f"the oldest check is {max(time.time_ns() - coverage.oldest, 0) / _DAY_NS:.1f} days old"
        self._say(
            f"scrub: {coverage.checked} of {coverage.blobs} blobs, {human_size(coverage.checked_size)} of "
            f"{human_size(coverage.size)}; {coverage.never} never verified; {age}"
        )

    def end(self, stopped: str | None = None) -> None:
        """Show all findings; `stopped` is STOPPED or FAILED for a run that ended early."""
        steps = next_steps(self._run, self._causes, stopped=stopped == STOPPED)
        if self._as_json:
            print_json(self._whole(stopped, steps))
            return
        for line in _lines(self._causes):
            self._say(line)
        for line in _list_images(self._causes.images):
            self._say(line)
        if self._console is not None and self._counts:
            rows = [(kind, number, self._repaired[kind], KINDS[kind].repair or "-") for kind, number in self._rows()]
            print_table(("FOUND", "NUMBER", "REPAIRED", "--repair"), rows)
        if stopped is not None:
            self._say(f"{stopped}; not looked at: {', '.join(self._left())}")
        self._say(self._summary(stopped))
        for step in steps:
            self._say(f"next: {step}")

    def status(self, *, found: int, left: int, unchecked: int) -> int:
        """Return the exit status, one of these or 0 for no damage."""
        if not self._damage():
            return unchecked if self._causes.number("unchecked") else 0
        return left if self.repairing and not self._is_all_repaired else found

    def _summary(self, stopped: str | None) -> str:
        damage, leftovers = self._causes.number("damage"), self._causes.number("leftover")
        following = f" ({self._damage()} findings)" if self._damage() > damage else ""
        unread = self._counts[Kind.NO_PERMISSION]
        return "".join(
            (
                "so far " if stopped is not None else "",
                f"{damage} damaged{following}, {leftovers} left over",
                f", {unread} not looked at for want of permission" if unread else "",
                f", {self._repaired.total()} repaired" if self.repairing else "",
            )
        )

    def _left(self) -> list[str]:
        """Return the parts that a stopped run did not check."""
        left = []
        coverage, checked = self._coverage, self.checked
        if coverage is not None and coverage.checked < coverage.blobs:
            size = human_size(coverage.size - coverage.checked_size)
            left.append(f"the bytes of {coverage.blobs - coverage.checked} of {coverage.blobs} blobs ({size})")
        if not checked.repositories:
            left.append("all links and manifests")
        elif not checked.is_complete:
            behind = f"the rest of {checked.current} and the repositories after it"
            left.append(f"{behind} ({checked.repositories - 1} were checked)")
        return left or ["nothing"]

    def _whole(self, stopped: str | None, steps: Sequence[str]) -> dict[str, object]:
        return {
            "findings": self._findings,
            "causes": [_cause_document(cause) for cause in self._causes],
            "damaged": self._damage(),
            "leftovers": sum(number for kind, number in self._counts.items() if KINDS[kind].weight == "leftover"),
            "unchecked": self._counts[Kind.NO_PERMISSION],
            "repaired": self._repaired.total(),
            "images": self._causes.images,
            "scrub": _coverage_document(self._coverage),
            "checked": {"repositories": self.checked.repositories, "complete": self.checked.is_complete},
            "stopped": stopped,
            "next": steps,
        }

    def _say(self, line: str) -> None:
        if self._console is None:
            say(line)
        else:  # above the progress bar
            self._console.print(visible(line), markup=False, highlight=False, soft_wrap=True)

    def _damage(self) -> int:
        return sum(number for kind, number in self._counts.items() if KINDS[kind].damage)

    def _rows(self) -> list[tuple[Kind, int]]:
        return sorted(self._counts.items(), key=lambda item: (not KINDS[item[0]].damage, item[0]))


def _lines(causes: Causes) -> Iterator[str]:
    """Yield lines for each cause; if a kind has many, only for the first ones."""
    shown: Counter[Kind] = Counter()
    for cause in causes:
        shown[cause.kind] += 1
        if shown[cause.kind] <= _CAUSES_OF_A_KIND:
            yield from _of_cause(cause)
    for kind, number in shown.items():
        if number > _CAUSES_OF_A_KIND:
            yield f"{kind}: {number - _CAUSES_OF_A_KIND} more, see --json"


def _of_cause(cause: Cause) -> Iterator[str]:
    yield f"{cause.kind} {cause.finding.path}: {cause.sentence}"
    if cause.others:
        yield f"  with it: {', '.join(f'{number} {kind}' for kind, number in sorted(cause.others.items()))}"
    if cause.images:
        images = sorted(cause.images, key=lambda image: ("@" in image, image))
        more = len(images) - _IMAGES_OF_A_CAUSE
        yield f"  lost: {' '.join(images[:_IMAGES_OF_A_CAUSE])}{f' and {more} more' if more > 0 else ''}"
    if cause.repaired:
        yield f"  repaired: {', '.join(cause.repaired)}"


def _list_images(images: Sequence[str]) -> Iterator[str]:
    if images:
        yield f"cannot be pulled whole: {len(images)}"
        yield from (f"  {image}" for image in images[:_IMAGES])
    if len(images) > _IMAGES:
        yield f"  and {len(images) - _IMAGES} more, see --json"


def _document(finding: Finding, repaired: str | None) -> dict[str, object]:
    return {
        "kind": finding.kind,
        "path": finding.path,
        "sentence": finding.sentence,
        "damage": finding.is_damage,
        "repairable": finding.is_repairable,
        "repaired": repaired,
        "lost": finding.lost if is_lost(finding, repaired) else (),
    }


def _cause_document(cause: Cause) -> dict[str, object]:
    return {
        "kind": cause.kind,
        "weight": cause.weight,
        "path": cause.finding.path,
        "digest": cause.finding.digest,
        "sentence": cause.sentence,
        "findings": [{"kind": str(kind), "number": number} for kind, number in sorted(cause.counts.items())],
        "repaired": list(cause.repaired),
        "images": sorted(cause.images),
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
