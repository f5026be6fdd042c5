"""What a garbage collection shows: bars and a table on a terminal, else the lines of the CNCF registry's command."""

import sys
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from pyregistry.gc.outcome import Listener, Options, Plan, Report
from pyregistry.oci.names import RepositoryName

_LOGGED = {"manifest": "deleting manifest", "layer link": "Deleting layer link path", "blob": "Deleting blob"}

_AT_ONCE = 1000
"""Lines: a repository may have millions."""


class Log(Listener):
    """What is removed and what is skipped, on standard error, as the CNCF registry logs it."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""

    def removed(self, what: str, path: str) -> None:
        """See Listener."""
        sys.stderr.write(f"{_LOGGED.get(what, f'Deleting {what}')}: /{path}\n")

    def skipped(self, reason: str) -> None:
        """See Listener."""
        super().skipped(reason)
        sys.stderr.write(f"skipped: {reason}\n")


class CncfLines(Log):
    """The CNCF command's lines on standard output, which scripts read.

    Those of a repository are written together: with PYTHONUNBUFFERED, as in the image, each write is a system call.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left of a run that failed."""
        self._write()

    def repository(self, name: RepositoryName) -> None:
        """See Listener."""
        self._write()
        self._say(f"{name}\n")

    def marked_manifest(self, name: RepositoryName, digest: str) -> None:
        """See Listener."""
        self._say(f"{name}: marking manifest {digest} \n")

    def marked_blob(self, name: RepositoryName, digest: str) -> None:
        """See Listener."""
        self._say(f"{name}: marking blob {digest}\n")

    def planned(self, plan: Plan) -> None:
        """See Listener."""
        manifests = [each for group in plan.manifests for each in group]
        for each in manifests:
            self._say(f"manifest eligible for deletion: {{{each.repository} {each.digest} []}}\n")
        marked = plan.candidates.marked_count()
        eligible = len(plan.candidates) - marked
        self._say(f"\n{marked} blobs marked, {eligible} blobs and {len(manifests)} manifests eligible for deletion\n")
        for digest, _ in plan.blobs():
            self._say(f"blob eligible for deletion: {digest}\n")
        for link in plan.links:
            self._say(f"{link.repository}: layer link eligible for deletion: {link.digest}\n")
        self._write()

    def _say(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) == _AT_ONCE:
            self._write()

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        sys.stdout.write("".join(lines))
        sys.stdout.flush()


class ProgressBars(Listener):
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

    def __enter__(self) -> Self:
        """Nothing yet: what draws is a thread, and while the blobs are enumerated there must be no other."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bars as they are."""
        self._progress.stop()

    def found(self, repositories: int) -> None:
        """See Listener."""
        self._found += repositories
        if self._mark is None:
            self._progress.start()
            self._mark = self._progress.add_task("mark", unit="repositories")
        self._progress.update(self._mark, total=self._found)

    def repository(self, name: RepositoryName) -> None:
        """See Listener."""
        if self._mark is not None:
            self._progress.advance(self._mark)

    def planned(self, plan: Plan) -> None:
        """See Listener."""
        if self._dry_run:
            return
        doomed = len(plan.candidates) - plan.candidates.marked_count()
        doomed += len(plan.links) + sum(len(group) for group in plan.manifests)
        self._sweep = self._progress.add_task("sweep", total=doomed, unit="links and blobs")

    def removed(self, what: str, path: str) -> None:
        """See Listener."""
        if self._sweep is not None and what != "repository":
            self._progress.advance(self._sweep)

    def skipped(self, reason: str) -> None:
        """See Listener."""
        super().skipped(reason)
        self._progress.console.print(f"skipped: {reason}", style="yellow", markup=False, highlight=False)


def print_summary(report: Report, options: Options) -> None:
    """Behind the CNCF command's lines: what they leave out."""
    would = "would be " if options.dry_run else ""
    typer.echo(
        f"{report.blobs_removed} blobs and {report.manifests_removed} manifests {would}removed, "
        f"{decimal(report.bytes_freed)} {would}freed"
    )
    if report.repositories_removed:
        typer.echo(f"{report.repositories_removed} empty repositories removed")
    if (kept := kept_by_leases(report)) is not None:
        typer.echo(kept)


def kept_by_leases(report: Report) -> str | None:
    """What stays for pushes in progress, and what to do about it; None where nothing does."""
    if not report.blobs_kept_by_leases:
        return None
    return (
        f"kept {report.blobs_kept_by_leases} blobs, {decimal(report.bytes_kept_by_leases)}, for pushes in progress, "
        f"until {report.leases_end_at} at the latest; or use --grace 0"
    )


def print_table(report: Report, options: Options) -> None:
    """The figures, for a person."""
    console = Console()
    table = Table("", "there", "would go" if options.dry_run else "removed", title=None)
    for column in table.columns[1:]:
        column.justify = "right"
    table.add_row("repositories", str(report.repositories), str(report.repositories_removed))
    table.add_row("manifests", "", str(report.manifests_removed))
    table.add_row("layer links", "", str(report.links_removed))
    table.add_row("blobs", str(report.blobs), str(report.blobs_removed))
    table.add_row("uploads", "", str(report.uploads_removed))
    table.add_row("space", "", decimal(report.bytes_freed), style="bold")
    console.print(table)
    if (kept := kept_by_leases(report)) is not None:
        console.print(kept, highlight=False)
    if report.skipped:
        console.print(f"{len(report.skipped)} things were skipped, see above", style="yellow", highlight=False)
