"""`pyregistry fsck`: finds damage, repairs it where possible, verifies all blobs."""

import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyregistry.cli.config_file import ConfigFile, ConfigOption, fail, load_or_fail
from pyregistry.cli.data_directory import open_storage, unusable_directory
from pyregistry.cli.failure import CommandFailed
from pyregistry.cli.fsck_output import FAILED, STOPPED, Output
from pyregistry.cli.fsck_steps import Run
from pyregistry.cli.output import say
from pyregistry.cli.priority import lower_priority
from pyregistry.cli.tables import parse_size
from pyregistry.common.lazy import lazy
from pyregistry.config.errors import ConfigError
from pyregistry.fsck.checking import check
from pyregistry.fsck.findings import Finding
from pyregistry.fsck.hashing import unlimited
from pyregistry.fsck.repairing import repair
from pyregistry.fsck.scope import CheckScope
from pyregistry.fsck.scrubbing import Coverage, RateLimiter, ScrubBusy, scrub, summarize
from pyregistry.oci.digest import Digest
from pyregistry.storage.backend import Backend
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.links import list_blobs
from pyregistry.storage.seams.rules import Rules

if TYPE_CHECKING:
    from pyregistry.service import wiring
else:
    wiring = lazy("pyregistry.service.wiring")

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
    repairing: Annotated[
        bool, typer.Option("--repair", help="Repair what is possible, and list what is lost.")
    ] = False,
    scrubbing: Annotated[
        bool, typer.Option("--scrub", help="First verify all blobs, those first that were not read for longest.")
    ] = False,
    rate: Annotated[str, typer.Option(help="Bytes that --scrub may read per second; 0: no limit.")] = "50MB",
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Repair even if there are no blobs, so that all is lost.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find damage in the data directory. It works while the server runs; without --repair it changes nothing.

    The next run continues a scrub that was stopped (Ctrl-C, SIGTERM).

    Exit status: 0 no damage, but perhaps harmless leftovers; 1 damage, or all of it was repaired with --repair;
    4 --repair could not repair all: what is lost must be pushed again; 2 the config or data directory is unusable;
    3 a volume seems to be missing; 75 another scrub is running; 77 no damage found, but this user lacks permission to
    read some files; 130 it was stopped.
    """
    per_second = parse_size(rate)
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: the scrub's progress is saved
    loaded = load_or_fail(config, config_option)[1]
    try:
        rules = wiring.storage_rules(loaded)
    except ConfigError as error:
        fail(str(error))
    backend = open_storage(loaded)
    if repairing and not allow_empty and _has_lost_all_blobs(backend):
        say(_VOLUME_MISSING, err=True)
        sys.exit(MISSING)
    options = ("--scrub", "--rate", rate) if scrubbing else ()
    output = Output(Run(Path(backend.title), config or config_option, options, repairing), as_json=as_json)
    with _ending(output):
        corrupt = _scrub(backend, output, per_second) if scrubbing else frozenset()
        _check(backend, output, rules, corrupt)
    sys.exit(output.status(found=DAMAGE_FOUND, left=DAMAGE_LEFT, unchecked=NOT_PERMITTED))


@contextmanager
def _ending(output: Output) -> Iterator[None]:
    """Show the findings, also of a run that ends early."""
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


def _scrub(backend: Backend, output: Output, per_second: float) -> frozenset[Digest]:
    lower_priority()
    progress = Coverage()
    limit = RateLimiter(per_second) if per_second else unlimited
    try:
        scrubbed = partial(scrub, backend.objects, backend.coordinator, progress)
        with output.scrubbing(progress) as advance, closing(scrubbed(advance, limit)) as findings:
            for finding in findings:
                output.found_early(finding)
                _tell(backend, output, finding)
    finally:
        if progress.begun:  # else another one runs
            summarize(backend.objects, progress)
            output.scrubbed(progress)
    # Repaired blobs are in quarantine, or were pushed again meanwhile: the check sees that itself.
    return frozenset() if output.repairing else frozenset(progress.damaged)


def _check(backend: Backend, output: Output, rules: Rules, corrupt: frozenset[Digest]) -> None:
    with output.working("looking at links and manifests"):
        for finding in check(backend.objects, backend.coordinator, CheckScope(rules, corrupt), output.checked):
            _tell(backend, output, finding)


def _tell(backend: Backend, output: Output, finding: Finding) -> None:
    """Show a finding; repair it with --repair."""
    repaired = None
    if output.repairing:
        try:
            repaired = repair(backend.objects, backend.coordinator, finding)
        except OSError as error:
            output.failed(finding, error)
    output.found(finding, repaired)
