"""Output of a garbage collection on a terminal: progress bars and a table."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from pyregistry.cli.gc_output import kept_by_leases, kept_untagged, open_uploads
from pyregistry.common.overriding import override
from pyregistry.common.visible import visible
from pyregistry.gc.types import Options, Plan, ProgressObserver, Report
from pyregistry.oci.names import RepositoryName

_NAMED = 20
"""Lines about removed repositories and uploads."""


class ProgressBars(ProgressObserver):
    """Two bars on a terminal: one for marking, one for the removals."""

    def __init__(self, *, dry_run: bool) -> None:
        super().__init__()
        self._dry_run = dry_run
        self._progress = Progress(
            TextColumn("{task.description:>8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
        )
        self._mark: TaskID | None = None
        self._sweep: TaskID | None = None
        self._found = 0
        self._swept = 0
        self._named = 0

    def __enter__(self) -> Self:
        """Return the observer. The bars have a thread, which must not start before the forks: see `found`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the bars; after a complete sweep set the total to what was removed."""
        if error is None and self._sweep is not None:
            self._progress.update(self._sweep, total=self._swept)
        self._progress.stop()

    @override
    def found(self, repositories: int) -> None:
        self._found += repositories
        if self._mark is None:
            self._progress.start()
            self._mark = self._progress.add_task("mark", unit="repositories")
        self._progress.update(self._mark, total=self._found)

    @override
    def repository(self, name: RepositoryName) -> None:
        if self._mark is not None:
            self._progress.advance(self._mark)

    @override
    def no_repository(self, name: RepositoryName) -> None:
        self._found -= 1
        if self._mark is not None:
            self._progress.update(self._mark, total=self._found)

    @override
    def planned(self, plan: Plan) -> None:
        if self._dry_run:
            return
        garbage = len(plan.candidates) - plan.candidates.marked_count()
        garbage += len(plan.links) + sum(len(group) for group in plan.manifests)
        self._sweep = self._progress.add_task("sweep", total=garbage, unit="links and blobs")

    @override
    def removed(self, what: str, path: str) -> None:
        if what in {"repository", "upload"}:
            self._name(f"removed {what} {path}")
        elif self._sweep is not None:
            self._swept += 1
            self._progress.advance(self._sweep)

    @override
    def would_remove(self, what: str, name: RepositoryName, detail: str = "") -> None:
        self._name(f"would remove {what} {name}{detail and f' {detail}'}")

    def _name(self, line: str) -> None:
        self._named += 1
        if self._named > _NAMED:
            line = "more repositories and uploads go; without a terminal all are named"
        if self._named <= _NAMED + 1:
            self._progress.console.print(visible(line), markup=False, highlight=False, soft_wrap=True)

    @override
    def skipped(self, reason: str) -> None:
        super().skipped(reason)
        self._progress.console.print(f"skipped: {visible(reason)}", style="yellow", markup=False, highlight=False)


def print_table(report: Report, options: Options) -> None:
    """Print the figures as a table."""
    console = Console()
    table = Table("", "there", "would go" if options.dry_run else "removed", title=None)
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row("repositories", str(report.repositories), str(report.repositories_removed))
    table.add_row("manifests", "", str(report.manifests_removed))
    table.add_row("layer links", "", str(report.links_removed))
    table.add_row("blobs", str(report.blobs), str(report.blobs_removed))
    table.add_row("uploads", str(report.uploads + report.uploads_removed), str(report.uploads_removed))
    freed = report.bytes_freed + report.bytes_freed_from_uploads
    table.add_row("space", "", decimal(freed), style="bold")
    console.print(table)
    for line in (open_uploads(report), kept_by_leases(report), kept_untagged(report)):
        if line is not None:
            console.print(line, highlight=False, markup=False)
    if report.skipped:
        console.print(f"{len(report.skipped)} things were skipped, see above", style="yellow", highlight=False)
