"""`pyregistry gc`, which is also `registry garbage-collect`: free what nothing refers to, while the server runs."""

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from pyregistry.cli.config_file import ConfigFile, ConfigOption, load_or_fail
from pyregistry.cli.data_directory import open_storage, unusable_directory
from pyregistry.cli.failure import CommandFailed
from pyregistry.cli.gc_output import CncfLines, RemovalLog, UploadLog, print_summary
from pyregistry.cli.output import print_json
from pyregistry.common.lazy import lazy
from pyregistry.config.schema import Config
from pyregistry.config.values import Duration
from pyregistry.gc.collector import collect
from pyregistry.gc.types import EXIT_CODES, SOMETHING_SKIPPED, Failure, Options, ProgressObserver, Report
from pyregistry.storage.repositories.open_uploads import list_uploads
from pyregistry.storage.repositories.purging import Purging, purge
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams import layout

if TYPE_CHECKING:
    from pyregistry.cli import gc_terminal
else:
    gc_terminal = lazy("pyregistry.cli.gc_terminal")


_MOST_PROCESSES = 4
"""More would wait for the disk, or for the process that merges their results."""


_DryRun = Annotated[bool, typer.Option("--dry-run", "-d", help="Print what would be removed, and change nothing.")]
_DeleteUntagged = Annotated[
    bool,
    typer.Option("--delete-untagged", "-m", help="Delete also untagged manifests that no kept manifest refers to."),
]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only what is removed, on standard error.")]
_Grace = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="Time that a push may take from its first blob to its manifest; else pyregistry.gc.grace, 1h. "
        "0 frees everything at once: it loses no image, but a push in progress may have to be repeated.",
    ),
]
_UploadsOlderThan = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="Remove open uploads that were idle for so long; else those of uploadpurging.age, 168h. "
        "0 removes all that are not being written to at this moment; their pushes must start again.",
    ),
]
_IKnow = Annotated[
    bool, typer.Option("--i-know", help="Run even if that is not safe on this file system, such as NFS.")
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print only the figures, as JSON.")]
_AllowEmpty = Annotated[
    bool,
    typer.Option(
        "--allow-empty",
        help="Run even if a volume seems to be missing, instead of exiting with 3.",
    ),
]


def gc(  # noqa: PLR0913, PLR0917 - one parameter for each option
    config: ConfigFile = None,
    config_option: ConfigOption = None,
    dry_run: _DryRun = False,
    delete_untagged: _DeleteUntagged = False,
    quiet: _Quiet = False,
    grace: _Grace = None,
    uploads_older_than: _UploadsOlderThan = None,
    i_know: _IKnow = False,
    as_json: _AsJson = False,
    allow_empty: _AllowEmpty = False,
) -> None:
    """Free the space of unreferenced content. It is safe while the registry runs and clients push.

    Exit status: 0 done; 2 done, but something could not be checked or removed (or the config is unusable). A repository
    whose tags or manifests are unreadable was kept. 3 nothing was removed: a volume seems to be missing, or no run is
    safe on this file system; 4 something else could not be read, so its references are unknown; 75 another garbage
    collection is running.
    """
    _, loaded = load_or_fail(config, config_option)
    options = Options(
        grace=_seconds(grace) if grace is not None else float(loaded.pyregistry.gc.grace),
        delete_untagged=delete_untagged or loaded.pyregistry.gc.delete_untagged,
        i_know=i_know or loaded.pyregistry.gc.i_know,
        dry_run=dry_run,
        allow_empty=allow_empty,
    )
    purging = _purging(loaded, uploads_older_than, dry_run=dry_run)
    terminal = sys.stdout.isatty() and not as_json and not quiet
    shown = _observer(options, terminal=terminal, silent=as_json or quiet)
    backend = open_storage(loaded)  # after the observer: from here on imports may fail
    try:
        with unusable_directory(), shown as observer:
            processes = min(len(os.sched_getaffinity(0)), _MOST_PROCESSES)
            report = collect(backend.objects, backend.coordinator, options, observer, processes)
            _purge_uploads(backend.registry(), purging, report, observer)
    except Failure as error:
        raise CommandFailed(f"failed to garbage collect: {error}", EXIT_CODES[type(error)]) from error
    _print(report, options, terminal=terminal, as_json=as_json, quiet=quiet)
    if report.skipped:
        raise typer.Exit(SOMETHING_SKIPPED)


def _observer(options: Options, *, terminal: bool, silent: bool) -> "gc_terminal.ProgressBars | RemovalLog":
    if terminal:
        return gc_terminal.ProgressBars(dry_run=options.dry_run)
    return RemovalLog() if silent else CncfLines()


def _print(report: Report, options: Options, *, terminal: bool, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json(report, indent=None)
    elif terminal:
        gc_terminal.print_table(report, options)
    elif not quiet:
        print_summary(report, options)


def _purging(config: Config, older_than: str | None, *, dry_run: bool) -> Purging | None:
    """Return the settings for the removal of open uploads, None to keep them."""
    section = config.storage.maintenance.upload_purging
    if older_than is not None:
        return Purging(_seconds(older_than), section.interval, dry_run=dry_run)
    if not section.enabled or (section.dry_run and not dry_run):
        return None
    return Purging(section.age, section.interval, dry_run=dry_run)


def _purge_uploads(registry: Registry, purging: Purging | None, report: Report, observer: ProgressObserver) -> None:
    log = UploadLog()
    purged = asyncio.run(purge(registry, purging, log)) if purging is not None else []
    for each in purged:
        if purging is not None and purging.dry_run:
            observer.would_remove("upload", each.repository, each.id)
        else:
            observer.removed("upload", layout.upload(each.repository, each.id))
    report.uploads_removed = len(purged)
    report.bytes_freed_from_uploads = sum(each.size for each in purged)
    gone = {each.id for each in purged}
    left = [each for each in list_uploads(registry, lambda upload, error: None) if each.id not in gone]
    report.uploads, report.bytes_in_uploads = len(left), sum(each.size for each in left)
    if left:
        report.oldest_upload_idle_seconds = round(max(time.time_ns() - left[0].changed_ns, 0) / 1e9, 3)


def _seconds(value: str) -> float:
    try:
        return float(Duration.parse(value))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
