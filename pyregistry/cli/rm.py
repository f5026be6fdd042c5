"""`pyregistry rm`: removes repositories, tags and manifests, also while the server runs."""

import sys
from contextlib import suppress
from typing import Annotated

import typer

from pyregistry.cli.config_file import ConfigOption, fail, load_or_fail
from pyregistry.cli.data_directory import open_storage, unusable_directory
from pyregistry.cli.output import print_json, say
from pyregistry.cli.removals import Removals
from pyregistry.cli.selection import Pattern, Selected, report_missed, select
from pyregistry.cli.tables import is_terminal
from pyregistry.common.system_errors import in_words
from pyregistry.storage.local import volumes

NOT_FOUND = 1
NOT_REMOVED = 3


def rm(  # noqa: PLR0913, PLR0917 - one parameter for each option
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="REPOSITORY[:TAG|@DIGEST]...",
            help="Things to remove. In quotes, * ? and [...] are wildcards, which match a slash too. "
            "Give the config with -c.",
        ),
    ],
    config: ConfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-d", help="Only print what would be removed.")] = False,
    delete_untagged: Annotated[
        bool,
        typer.Option(
            "--delete-untagged",
            "-m",
            help="Remove also manifests that become untagged, with their platforms and referrers. "
            "Those that another manifest or a push in progress needs are kept.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Remove repositories, tags, or manifests with their tags. It works while the server runs.

    Repositories nested in a repository are kept. A tag is removed alone: its manifest is kept, untagged, until
    `pyregistry gc --delete-untagged`; -m removes it at once. The next `pyregistry gc` frees the space.

    Exit status: 0 all was removed; 1 something was not found (then nothing is removed) or you answered no; 2 the config
    or an argument is unusable; 3 something could not be removed.
    """
    patterns = [Pattern.parse(name) for name in names]
    loaded = load_or_fail(config)[1]
    backend = open_storage(loaded)
    with unusable_directory():
        selected, missed = select(backend.objects, patterns)
    report_missed(missed)
    if missed:
        sys.exit(NOT_FOUND)
    if not dry_run and not yes:
        _ask(selected)
    if not dry_run and backend.local is not None:
        with suppress(OSError):  # a full disk: then a collection of an empty tree needs --allow-empty
            volumes.note_mounted(backend.local)
    removals = Removals(backend, float(loaded.pyregistry.gc.grace), dry_run=dry_run, delete_untagged=delete_untagged)
    removals.remove_all(selected, _tell_failed)
    if as_json:
        print_json(removals.document())
    else:
        _show(removals, dry_run=dry_run)
    if removals.failed:
        sys.exit(NOT_REMOVED)


def _tell_failed(each: Selected, error: OSError) -> None:
    say(f"pyregistry: {each}: {in_words(error)}", err=True)


def _show(removals: Removals, *, dry_run: bool) -> None:
    for each in removals.removed:
        say(f"{'would remove' if dry_run else 'removed'} {each}")
    for each, reason in removals.kept:
        say(f"{'would keep' if dry_run else 'kept'} {each}: {reason}", err=not is_terminal())
    if dry_run:
        return
    for line in removals.what_frees():
        say(line, err=not is_terminal())


def _ask(selected: list[Selected]) -> None:
    if not sys.stdin.isatty():
        fail("not a terminal: use --yes or --dry-run")
    for each in selected:
        say(str(each), err=True)
    if not typer.confirm(f"Remove {'this' if len(selected) == 1 else f'these {len(selected)}'}?", err=True):
        sys.exit(NOT_FOUND)
