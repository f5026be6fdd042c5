"""What a garbage collection prints where it is not at a terminal: the lines of the CNCF registry's command."""

import sys
from types import TracebackType
from typing import Self

import typer
from rich.filesize import decimal

from pyregistry.cli.output import say
from pyregistry.common.visible import visible
from pyregistry.gc.types import Listener, Options, Plan, Report
from pyregistry.oci.names import RepositoryName

_LOGGED = {"manifest": "deleting manifest", "layer link": "Deleting layer link path", "blob": "Deleting blob"}

_AT_ONCE = 1000
"""Lines: a repository may have millions."""


class Log(Listener):
    """What is removed and what is skipped, on standard error, as the CNCF registry logs it.

    What is removed is said behind each batch: who reads it may be slow, and writers wait for the end of a batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._removed: list[str] = []

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left of a run that failed."""
        self.batch_is_over()

    def removed(self, what: str, path: str) -> None:
        """See Listener."""
        self._removed.append(f"{_LOGGED.get(what, f'Deleting {what}')}: /{visible(path)}\n")

    def batch_is_over(self) -> None:
        """See Listener."""
        lines, self._removed = self._removed, []
        sys.stderr.write("".join(lines))

    def skipped(self, reason: str) -> None:
        """See Listener."""
        super().skipped(reason)
        sys.stderr.write(f"skipped: {visible(reason)}\n")


class UploadLog:
    """What becomes of uploads: only that one could not be removed is said, on standard error."""

    def info(self, event: str, **values: object) -> None:
        """See storage.purging.Log."""

    def warning(self, event: str, **values: object) -> None:
        """See storage.purging.Log."""
        say(f"warning: {event}: {', '.join(f'{name}={value}' for name, value in values.items())}", err=True)

    error = warning


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
        super().__exit__(kind, error, trace)

    def repository(self, name: RepositoryName) -> None:
        """See Listener."""
        self._write()
        self._say(f"{visible(name)}\n")

    def marked_manifest(self, name: RepositoryName, digest: str) -> None:
        """See Listener."""
        self._say(f"{visible(name)}: marking manifest {visible(digest)} \n")

    def marked_blob(self, name: RepositoryName, digest: str) -> None:
        """See Listener."""
        self._say(f"{visible(name)}: marking blob {visible(digest)}\n")

    def planned(self, plan: Plan) -> None:
        """See Listener."""
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

    def would_remove(self, what: str, name: RepositoryName, detail: str = "") -> None:
        """See Listener."""
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
    """Behind the CNCF command's lines: what they leave out."""
    would = "would be " if options.dry_run else ""
    typer.echo(
        f"{report.blobs_removed} blobs and {report.manifests_removed} manifests {would}removed, "
        f"{decimal(report.bytes_freed)} {would}freed"
    )
    if report.repositories_removed:
        typer.echo(f"{report.repositories_removed} empty repositories {would}removed")
    lines = (uploads_removed(report, options), open_uploads(report), kept_by_leases(report), kept_untagged(report))
    for line in lines:
        if line is not None:
            typer.echo(line)


def uploads_removed(report: Report, options: Options) -> str | None:
    """Return what became of open uploads; None where all stay."""
    if not report.uploads_removed:
        return None
    would = "would be " if options.dry_run else ""
    freed = decimal(report.bytes_freed_from_uploads)
    return f"{report.uploads_removed} open uploads {would}removed, {freed} {would}freed"


def open_uploads(report: Report) -> str | None:
    """Return what open uploads take up, and what to do about it; None where there are none."""
    if not report.uploads:
        return None
    idle = idle_time(report.oldest_upload_idle_seconds)
    return (
        f"{report.uploads} open uploads hold {decimal(report.bytes_in_uploads)}, the oldest idle for {idle}; "
        "`pyregistry du` lists them, --uploads-older-than 24h removes those"
    )


def idle_time(seconds: float) -> str:
    """Return a time in the two units that matter: 3d4h, 4h5m, 5m6s, 6s."""
    left, parts = int(seconds), []
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        parts.append((count, unit))
    first = next((number for number, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return "".join(f"{count}{unit}" for count, unit in parts[first : first + 2])


def kept_by_leases(report: Report) -> str | None:
    """What stays for pushes in progress, and what to do about it; None where nothing does."""
    if not report.blobs_kept_by_leases:
        return None
    return (
        f"kept {report.blobs_kept_by_leases} blobs, {decimal(report.bytes_kept_by_leases)}, for pushes in progress, "
        f"until {report.leases_end_at} at the latest; or use --grace 0"
    )


def kept_untagged(report: Report) -> str | None:
    """Return what stays for want of `--delete-untagged`; None where nothing does."""
    if not report.untagged_manifests_kept:
        return None
    size = decimal(report.bytes_kept_by_untagged_manifests)
    return f"{report.untagged_manifests_kept} untagged manifests kept, {size}; -m deletes them"
