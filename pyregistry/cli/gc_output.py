"""Output of a garbage collection without a terminal: the lines of the CNCF registry's command."""

import sys
from types import TracebackType
from typing import Self

import typer
from rich.filesize import decimal

from pyregistry.cli.output import say
from pyregistry.common.overriding import override
from pyregistry.common.visible import visible
from pyregistry.gc.types import Options, Plan, ProgressObserver, Report
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.repositories import purging

_LOGGED = {"manifest": "deleting manifest", "layer link": "Deleting layer link path", "blob": "Deleting blob"}

_AT_ONCE = 1000
"""Lines per write: a repository may have millions."""


class RemovalLog(ProgressObserver):
    """Prints removed and skipped things on standard error, as the CNCF registry logs them.

    The removed ones are printed after each batch: the reader may be slow, and writers wait for the end of a batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._removed: list[str] = []

    def __enter__(self) -> Self:
        """Return the observer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the remaining lines of a failed run."""
        self.batch_is_over()

    @override
    def removed(self, what: str, path: str) -> None:
        self._removed.append(f"{_LOGGED.get(what, f'Deleting {what}')}: /{visible(path)}\n")

    @override
    def batch_is_over(self) -> None:
        lines, self._removed = self._removed, []
        sys.stderr.write("".join(lines))

    @override
    def skipped(self, reason: str) -> None:
        super().skipped(reason)
        sys.stderr.write(f"skipped: {visible(reason)}\n")


class UploadLog(purging.PurgeLog):
    """Prints only failures to remove uploads, on standard error."""

    @override
    def info(self, event: str, **values: object) -> None:
        pass

    @override
    def warning(self, event: str, **values: object) -> None:
        say(f"warning: {event}: {', '.join(f'{name}={value}' for name, value in values.items())}", err=True)

    error = warning


class CncfLines(RemovalLog):
    """The CNCF command's lines on standard output, which scripts read.

    A repository's lines are written together: with PYTHONUNBUFFERED, as in the image, each write is a system call.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the remaining lines of a failed run."""
        self._write()
        super().__exit__(kind, error, trace)

    @override
    def repository(self, name: RepositoryName) -> None:
        self._write()
        self._say(f"{visible(name)}\n")

    @override
    def marked_manifest(self, name: RepositoryName, digest: str) -> None:
        self._say(f"{visible(name)}: marking manifest {visible(digest)} \n")

    @override
    def marked_blob(self, name: RepositoryName, digest: str) -> None:
        self._say(f"{visible(name)}: marking blob {visible(digest)}\n")

    @override
    def planned(self, plan: Plan) -> None:
        manifests = [each for group in plan.manifests for each in group]
        for each in manifests:
            self._say(f"manifest eligible for deletion: {{{visible(each.repository)} {visible(each.digest)} []}}\n")
        marked = plan.candidates.marked_count()
        eligible = len(plan.candidates) - marked
        self._say(f"\n{marked} blobs marked, {eligible} blobs and {len(manifests)} manifests eligible for deletion\n")
        for digest, _ in plan.blobs():
            self._say(f"blob eligible for deletion: {visible(digest)}\n")
        for link in plan.links:
            self._say(f"{visible(link.repository)}: layer link eligible for deletion: {visible(link.digest)}\n")
        self._write()

    @override
    def would_remove(self, what: str, name: RepositoryName, detail: str = "") -> None:
        self._say(f"{visible(name)}: {what} eligible for deletion{detail and f': {detail}'}\n")

    def _say(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) == _AT_ONCE:
            self._write()

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        sys.stdout.write("".join(lines))
        sys.stdout.flush()


def print_summary(report: Report, options: Options) -> None:
    """Print figures that the CNCF command's lines do not have, after them."""
    would = "would be " if options.dry_run else ""
    typer.echo(
        f"{report.blobs_removed} blobs and {report.manifests_removed} manifests {would}removed, "
        f"{decimal(report.bytes_freed)} {would}freed"
    )
    if report.repositories_removed:
        noun = "repository" if report.repositories_removed == 1 else "repositories"
        typer.echo(f"{report.repositories_removed} empty {noun} {would}removed")
    lines = (uploads_removed(report, options), open_uploads(report), kept_by_leases(report), kept_untagged(report))
    for line in lines:
        if line is not None:
            typer.echo(line)


def uploads_removed(report: Report, options: Options) -> str | None:
    """Return a line about removed uploads, or None."""
    if not report.uploads_removed:
        return None
    would = "would be " if options.dry_run else ""
    freed = decimal(report.bytes_freed_from_uploads)
    return f"{report.uploads_removed} open uploads {would}removed, {freed} {would}freed"


def open_uploads(report: Report) -> str | None:
    """Return a line about the space of open uploads, with advice; None without open uploads."""
    if not report.uploads:
        return None
    idle = idle_time(report.oldest_upload_idle_seconds)
    return (
        f"{report.uploads} open uploads hold {decimal(report.bytes_in_uploads)}, the oldest idle for {idle}; "
        "`pyregistry du` lists them, --uploads-older-than 24h removes those"
    )


def idle_time(seconds: float) -> str:
    """Return a time in its two largest units: 3d4h, 4h5m, 5m6s, 6s."""
    left, parts = int(seconds), []
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        parts.append((count, unit))
    first = next((number for number, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return "".join(f"{count}{unit}" for count, unit in parts[first : first + 2])


def kept_by_leases(report: Report) -> str | None:
    """Return a line about blobs kept for pushes in progress, with advice; None without such blobs."""
    if not report.blobs_kept_by_leases:
        return None
    return (
        f"kept {report.blobs_kept_by_leases} blobs, {decimal(report.bytes_kept_by_leases)}, for pushes in progress, "
        f"until {report.leases_end_at} at the latest; or use --grace 0"
    )


def kept_untagged(report: Report) -> str | None:
    """Return a line about untagged manifests kept without `--delete-untagged`, or None."""
    if not report.untagged_manifests_kept:
        return None
    size = decimal(report.bytes_kept_by_untagged_manifests)
    return f"{report.untagged_manifests_kept} untagged manifests kept, {size}; -m deletes them"
