"""`pyregistry fsck`: look for damage, mend what can be mended, read all blobs again."""

import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyregistry.cli.config_file import ConfigFile, ConfigOption, fail, load_or_fail
from pyregistry.cli.data_directory import open_storage
from pyregistry.cli.failure import CommandFailed
from pyregistry.cli.failures import unusable_directory
from pyregistry.cli.fsck_output import FAILED, STOPPED, Output
from pyregistry.cli.fsck_steps import Run
from pyregistry.cli.output import say
from pyregistry.cli.priority import step_back
from pyregistry.cli.tables import parse_size
from pyregistry.common.lazy import lazy
from pyregistry.config.errors import ConfigError
from pyregistry.fsck.checking import check
from pyregistry.fsck.findings import Finding
from pyregistry.fsck.hashing import no_brake
from pyregistry.fsck.repairing import repair
from pyregistry.fsck.scope import Scope
from pyregistry.fsck.scrubbing import Coverage, Rate, ScrubBusy, scrub, summarize
from pyregistry.oci.digest import Digest
from pyregistry.storage.backend import Backend
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.links import list_blobs
from pyregistry.storage.seams.rules import Rules

if TYPE_CHECKING:
    from pyregistry.service import wiring as parts
else:
    parts = lazy("pyregistry.service.wiring")

DAMAGE_FOUND = 1
MISSING = 3
DAMAGE_LEFT = 4
BUSY = 75
NOT_PERMITTED = 77
"""EX_NOPERM of sysexits.h, as 75 is its EX_TEMPFAIL."""
INTERRUPTED = 130
_VOLUME_MISSING = (
    f"pyregistry: a volume seems to be missing: there are repositories, but no blob in {layout.BLOBS}; a repair would"
    " remove all tags. Mount it, or use --allow-empty"
)


def fsck(  # noqa: PLR0913, PLR0917 - one for each option of the command
    config: ConfigFile = None,
    config_option: ConfigOption = None,
    repairing: Annotated[bool, typer.Option("--repair", help="Mend what can be mended, and say what is lost.")] = False,
    scrubbing: Annotated[
        bool, typer.Option("--scrub", help="Read all blobs again first, those first that were not read for longest.")
    ] = False,
    rate: Annotated[str, typer.Option(help="What --scrub may read in a second; 0: as much as it can.")] = "50MB",
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Repair although there is no blob at all, so that all is lost.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Look for damage in the data directory. It works while the server runs; without --repair nothing is changed.

    A scrub that is stopped (Ctrl-C, SIGTERM) is gone on with by the next one.

    It ends with 0 if nothing is damaged (leftovers, which hinder nobody, may be listed), 1 if something is, or was
    and --repair mended all of it, 4 if --repair could not: what it calls lost must be pushed again. 2: a config or data
    directory that cannot be used, 3: a volume seems to be missing, 75: another scrub runs, 77: no damage was found, but
    something may not be read by this user, 130: it was stopped.
    """
    per_second = parse_size(rate)
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what was read is remembered
    loaded = load_or_fail(config, config_option)[1]
    try:
        rules = parts.storage_rules(loaded)
    except ConfigError as error:
        fail(str(error))
    backend = open_storage(loaded)
    driver = backend.driver
    if repairing and not allow_empty and _has_lost_all_blobs(backend):
        say(_VOLUME_MISSING, err=True)
        sys.exit(MISSING)
    options = ("--scrub", "--rate", rate) if scrubbing else ()
    output = Output(Run(Path(backend.title), config or config_option, options, repairing), as_json=as_json)
    with _ending(output):
        corrupt = _scrub(driver, output, per_second) if scrubbing else frozenset()
        _check(driver, output, rules, corrupt)
    sys.exit(output.status(found=DAMAGE_FOUND, left=DAMAGE_LEFT, unchecked=NOT_PERMITTED))


@contextmanager
def _ending(output: Output) -> Iterator[None]:
    """Show what was found, also by a run that ends early."""
    try:
        with unusable_directory():
            yield
    except ScrubBusy as error:
        say(f"pyregistry: {error}", err=True)
        sys.exit(BUSY)
    except KeyboardInterrupt:
        output.end(STOPPED)
        sys.exit(INTERRUPTED)
    except CommandFailed:
        output.end(FAILED)
        raise
    output.end()


def _has_lost_all_blobs(backend: Backend) -> bool:
    with unusable_directory():
        return next(list_blobs(backend.objects), None) is None and next(backend.registry().catalog(), None) is not None


def _scrub(driver: Driver, output: Output, per_second: float) -> frozenset[Digest]:
    step_back()
    progress = Coverage()
    brake = Rate(per_second) if per_second else no_brake
    try:
        with output.scrubbing(progress) as advance, closing(scrub(driver, progress, advance, brake)) as findings:
            for finding in findings:
                output.found_early(finding)
                _tell(driver, output, finding)
    finally:
        if progress.begun:  # else another one runs
            summarize(driver, progress)
            output.scrubbed(progress)
    # What was mended is in quarantine, or was pushed again meanwhile: the check sees that itself.
    return frozenset() if output.repairing else frozenset(progress.damaged)


def _check(driver: Driver, output: Output, rules: Rules, corrupt: frozenset[Digest]) -> None:
    with output.working("looking at links and manifests"):
        for finding in check(driver, Scope(rules, corrupt), output.checked):
            _tell(driver, output, finding)


def _tell(driver: Driver, output: Output, finding: Finding) -> None:
    """Show a finding, and mend it if that is asked for."""
    mended = None
    if output.repairing:
        try:
            mended = repair(driver, finding)
        except OSError as error:
            output.failed(finding, error)
    output.found(finding, mended)
