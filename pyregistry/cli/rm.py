"""`pyregistry rm`: remove repositories, tags and manifests, also while the server runs."""

import sys
from contextlib import suppress
from typing import Annotated

import typer

from pyregistry.cli.config_file import ConfigOption, fail, load_or_fail
from pyregistry.cli.data_directory import open_driver
from pyregistry.cli.failures import unusable_directory
from pyregistry.cli.output import print_json, say
from pyregistry.cli.selection import Pattern, Selected, select, tell_missed
from pyregistry.cli.tables import is_terminal
from pyregistry.oci.errors import ManifestUnknown
from pyregistry.storage import volumes
from pyregistry.storage.driver import Driver
from pyregistry.storage.registry import Registry
from pyregistry.storage.removing import remove_repository, remove_tag

NOT_FOUND = 1
NOT_REMOVED = 3


def rm(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="REPOSITORY[:TAG|@DIGEST]...",
            help="What to remove. In quotes, * ? and [...] stand for any characters, a slash too.",
        ),
    ],
    config: ConfigOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-d", help="Only say what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Remove repositories, tags, or manifests with the tags that name them. It works while the server runs.

    Repositories nested in a repository stay. The space is freed by the next `pyregistry gc`.

    It ends with 0 if all was removed, 1 if something named is not there (then nothing is removed) or the answer was
    no, 2 for a config or words that cannot be used, 3 if something could not be removed.
    """
    patterns = [Pattern.parse(name) for name in names]
    driver = open_driver(load_or_fail(config)[1])
    with unusable_directory():
        selected, missed = select(driver, patterns)
    tell_missed(missed)
    if missed:
        sys.exit(NOT_FOUND)
    if not dry_run and not yes:
        _ask(selected)
    failed: list[Selected] = []
    if not dry_run:
        with suppress(OSError):  # a full disk: then a collection of an empty tree asks for --allow-empty
            volumes.remember(driver)
    removed = selected if dry_run else _remove_all(driver, selected, failed)
    if as_json:
        print_json({"dry_run": dry_run, "removed": [str(each) for each in removed]})
    else:
        _show(removed, dry_run=dry_run)
    if failed:
        sys.exit(NOT_REMOVED)


def _show(removed: list[Selected], *, dry_run: bool) -> None:
    for each in removed:
        say(f"{'would remove' if dry_run else 'removed'} {each}")
    if removed and not dry_run:
        say("pyregistry gc frees the space", err=not is_terminal())


def _ask(selected: list[Selected]) -> None:
    if not sys.stdin.isatty():
        fail("nobody can be asked here: say --yes, or --dry-run")
    for each in selected:
        say(str(each), err=True)
    if not typer.confirm(f"Remove {'this' if len(selected) == 1 else f'these {len(selected)}'}?", err=True):
        sys.exit(NOT_FOUND)


def _remove_all(driver: Driver, selected: list[Selected], failed: list[Selected]) -> list[Selected]:
    """What was removed; into `failed` what could not be, which is told at once."""
    removed = []
    for each in selected:
        try:
            if _remove_one(driver, each):
                removed.append(each)
        except OSError as error:
            say(f"pyregistry: {each}: {error.filename}: {error.strerror}", err=True)
            failed.append(each)
    return removed


def _remove_one(driver: Driver, each: Selected) -> bool:
    if each.tag is not None:
        return remove_tag(driver, each.repository, each.tag)
    if each.digest is None:
        return remove_repository(driver, each.repository)
    with suppress(ManifestUnknown):  # somebody was quicker
        Registry(driver).repository(each.repository).delete_manifest(each.digest)
        return True
    return False
