"""One run of garbage collection: enumerate, barrier, mark, brake, sweep. docs/gc.md says why in this order."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from pyregistry.gc.candidates import Candidates
from pyregistry.gc.emptied import would_be_emptied
from pyregistry.gc.enumerating import enumerate_blobs, unseen_blobs
from pyregistry.gc.ground import require_safe_ground
from pyregistry.gc.marking import Marker
from pyregistry.gc.outcome import Braked, CollectorBusy, Listener, MarkFailed, Options, Plan, Report
from pyregistry.gc.sweeping import Sweep
from pyregistry.oci.errors import Unavailable
from pyregistry.storage import layout, leases, volumes
from pyregistry.storage.driver import Driver, PathBusy, PathNotFound
from pyregistry.storage.used import Used, note_used
from pyregistry.system_errors import in_words

_LOCK = "gc"
_TEMPORARY_SECONDS = 86_400.0
"""No write takes longer from its temporary file to the rename."""


def collect(driver: Driver, options: Options, listener: Listener | None = None, processes: int = 1) -> Report:
    """Remove what nothing refers to and no push in progress counts on. Blocks.

    `processes` as in `shared`. Raises CollectorBusy, Braked, MarkFailed. What could not be removed is in the
    report.
    """
    listener = listener or Listener()
    begin = time.monotonic()
    if options.dry_run:
        report = _run(driver, options, listener, processes)
    else:
        with _on_these_mounts(), collection_lock(driver, wait=False):
            if not options.i_know:
                require_safe_ground(driver)
            driver.empty_trash()  # of a run that was killed
            with leases.marks_of_touches(driver):
                report = _run(driver, options, listener, processes)
    report.seconds = round(time.monotonic() - begin, 3)
    report.skipped = listener.reasons
    if not options.dry_run:
        with suppress(OSError):  # a full disk: what was done is done
            driver.write(layout.LAST_GC, msgspec.json.encode(report), durable=False)
    return report


@contextmanager
def _on_these_mounts() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:  # as in a request: the locks of this run keep no server out any more
        raise MarkFailed(f"{error.detail}; start the run again") from error


def _run(driver: Driver, options: Options, listener: Listener, processes: int) -> Report:
    now_ns = time.time_ns()
    candidates = enumerate_blobs(driver, processes)
    for sentence in unseen_blobs(driver):
        listener.skipped(sentence)
    if not options.dry_run:
        with leases.exclusive_section(driver):
            pass  # the barrier: what was committed before can be seen now
    kept = leases.kept_for(options.grace, leases.noted_renewal(driver))
    marker = Marker(driver, candidates, replace(options, grace=kept), listener, now_ns)
    _brake(driver, candidates, options)
    plan = marker.plan(processes)
    _brake(driver, candidates, options)  # a volume may have gone while the run walked over it
    listener.planned(plan)
    report = _report_of(plan, options)
    if options.dry_run:
        _count(plan, report)
        _tell_emptied(driver, marker, plan, report)
    else:
        with suppress(OSError):  # a full disk: what is not noted is asked for
            volumes.remember(driver, everything=options.allow_empty)
        Sweep(driver, marker, plan, report, listener).run()
        note_used(driver, Used(report.blobs - report.blobs_removed, candidates.total_size() - report.bytes_freed))
        try:
            _remove_temporaries(driver)
        except OSError as error:
            listener.skipped(in_words(error))
    return report


def _brake(driver: Driver, candidates: Candidates, options: Options) -> None:
    if not len(candidates) or options.allow_empty:
        return
    try:
        reason = volumes.missing(driver)
    except OSError as error:
        raise MarkFailed(in_words(error)) from error
    if reason is not None:
        raise Braked(
            f"a volume seems to be missing: there are {len(candidates)} blobs, but {reason}; if this is meant,"
            " say --allow-empty"
        )


@contextmanager
def collection_lock(driver: Driver, *, wait: bool) -> Iterator[None]:
    """Let no other collection run; without `wait` raise CollectorBusy if one does."""
    with ExitStack() as held:
        try:
            held.enter_context(driver.lock(_LOCK, exclusive=True, wait=wait))
        except PathBusy as error:
            raise CollectorBusy("another garbage collection is running, or `pyregistry without-gc`") from error
        yield


def _report_of(plan: Plan, options: Options) -> Report:
    ends_at = None
    if plan.kept.until_ns:
        ends_at = datetime.fromtimestamp(plan.kept.until_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Report(
        dry_run=options.dry_run,
        repositories=plan.repositories,
        blobs=len(plan.candidates),
        blobs_marked=plan.candidates.marked_count(),
        blobs_kept_by_leases=plan.kept.blobs,
        bytes_kept_by_leases=plan.kept.size,
        leases_end_at=ends_at,
        untagged_manifests_kept=plan.untagged,
        bytes_kept_by_untagged_manifests=plan.candidates.untagged_size(),
    )


def _count(plan: Plan, report: Report) -> None:
    report.manifests_removed = sum(len(group) for group in plan.manifests)
    report.links_removed = len(plan.links)
    for _, size in plan.blobs():
        report.blobs_removed += 1
        report.bytes_freed += size


def _tell_emptied(driver: Driver, marker: Marker, plan: Plan, report: Report) -> None:
    try:
        emptied = would_be_emptied(driver, plan, marker.maybe_empty())
    except OSError as error:
        raise MarkFailed(in_words(error)) from error
    report.repositories_removed = len(emptied)
    for name in emptied:
        marker.listener.would_remove("repository", name)


def _remove_temporaries(driver: Driver) -> None:
    """What a write leaves behind that was killed, on this machine or by another server."""
    before_ns = time.time_ns() - round(_TEMPORARY_SECONDS * 1e9)
    for directory in map(layout.temporaries, driver.places()):
        for name in driver.children(directory):
            path = layout.child(directory, name)
            with suppress(PathNotFound):
                if driver.stat(path).mtime_ns < before_ns:
                    driver.discard(path)
    driver.empty_trash()
