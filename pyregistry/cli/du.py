"""`pyregistry du`: shows what takes the space."""

import sys
from typing import Annotated

import typer

from pyregistry.cli.config_file import ConfigFile, ConfigOption, load_or_fail
from pyregistry.cli.data_directory import open_storage, report_empty, unusable_directory
from pyregistry.cli.gc_output import idle_time
from pyregistry.cli.output import print_json, say
from pyregistry.cli.tables import ByteCount, Narrower, is_terminal, print_table
from pyregistry.gc.types import MarkFailed
from pyregistry.inventory.usage import Usage, measure
from pyregistry.storage.repositories.used import Used, note_used

MARK_FAILED = 4
_SHOWN = 20
"""Open uploads in the table, those first that are idle longest."""


def du(
    config: ConfigFile = None,
    config_option: ConfigOption = None,
    delete_untagged: Annotated[
        bool,
        typer.Option("--delete-untagged", "-m", help="Count what `gc --delete-untagged` would free as reclaimable."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the space that each repository alone uses, that it shares, and that `pyregistry gc` would free.

    It only writes the total for the metrics. Exit status: 0 done; 2 the config is unusable; 4 something could not be
    read.
    """
    backend = open_storage(load_or_fail(config, config_option)[1])
    objects = backend.objects
    try:
        with unusable_directory():
            usage = measure(backend, delete_untagged=delete_untagged)
    except MarkFailed as error:
        say(f"pyregistry: {error}", err=True)
        sys.exit(MARK_FAILED)
    if usage.blobs:
        note_used(objects, Used(usage.blobs, usage.size))  # for the metrics
    for reason in usage.skipped:
        say(f"warning: {reason}", err=True)
    if as_json:
        print_json(usage)
        return
    if config is None and config_option is None and not usage.repositories:
        report_empty(backend)
    ordered = sorted(usage.repositories, key=lambda each: each.own, reverse=True)
    rows = [(each.name, each.blobs, ByteCount(each.own), ByteCount(each.shared)) for each in ordered]
    print_table(("REPOSITORY", "BLOBS", "OWN", "SHARED"), rows, (Narrower("BLOBS"),))
    if is_terminal():
        typer.echo()
    print_table(("", "COUNT", "SIZE"), _totals(usage, delete_untagged=delete_untagged))
    _print_uploads(usage)


def _print_uploads(usage: Usage) -> None:
    if not usage.open_uploads:
        return
    typer.echo()
    shown = usage.open_uploads[:_SHOWN]
    rows = [(each.repository, each.id, ByteCount(each.size), idle_time(each.idle)) for each in shown]
    print_table(
        ("OPEN UPLOADS IN", "ID", "SIZE", "IDLE"), rows, (Narrower("ID", lambda text: text[:8]), Narrower("ID"))
    )
    if len(usage.open_uploads) > _SHOWN:
        say(f"{len(usage.open_uploads) - _SHOWN} more, see --json", err=True)


def _totals(usage: Usage, *, delete_untagged: bool) -> list[tuple[str, str | int, ByteCount]]:
    return [
        ("all blobs", usage.blobs, ByteCount(usage.size)),
        ("reclaimable", usage.reclaimable_blobs, ByteCount(usage.reclaimable)),
        *([] if delete_untagged else [("untagged manifests", usage.untagged_manifests, ByteCount(usage.untagged))]),
        ("kept for pushes", usage.leased_blobs, ByteCount(usage.leased)),
        ("open uploads", usage.uploads, ByteCount(usage.uploads_size)),
        ("quarantine", "", ByteCount(usage.quarantine)),
    ]
