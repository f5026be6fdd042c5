"""One run of garbage collection: enumerate, barrier, mark, check for safety, sweep. docs/gc.md explains this order."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from pyregistry.common.system_errors import in_words
from pyregistry.gc.candidates import Candidates
from pyregistry.gc.emptied import would_be_emptied
from pyregistry.gc.enumerating import enumerate_blobs, unseen_blobs
from pyregistry.gc.marking import Marker
from pyregistry.gc.sweeping import Sweep
from pyregistry.gc.types import CollectorBusy, MarkFailed, Options, Plan, ProgressObserver, Report, SafetyCheckFailed
from pyregistry.oci.errors import Unavailable
from pyregistry.storage.repositories.used import Used, note_used
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import COLLECTOR, Collection, Coordinator, NotSafe
from pyregistry.storage.seams.objects import Objects, PathBusy

_BUSY = "another garbage collection is running, or `pyregistry without-gc`"


def collect(
    objects: Objects,
    coordinator: Coordinator,
    options: Options,
    observer: ProgressObserver | None = None,
    processes: int = 1,
) -> Report:
    """Remove unreferenced content on which no push in progress relies. Blocks.

    `processes` as in `parallel_map`. Raises CollectorBusy, SafetyCheckFailed, MarkFailed. Failed removals are in the
    report.
    """
    observer = observer or ProgressObserver()
    begin = time.monotonic()
    with _on_these_mounts(), _collection(coordinator, options) as collection:
        report = _run(objects, collection, options, observer, processes)
    report.seconds = round(time.monotonic() - begin, 3)
    report.skipped = observer.reasons
    if not options.dry_run:
        with suppress(OSError):  # a full disk: the run has succeeded anyway
            objects.write(layout.LAST_GC, msgspec.json.encode(report), durable=False)
    return report


@contextmanager
def _on_these_mounts() -> Iterator[None]:
    try:
        yield
    except Unavailable as error:  # as in a request: the locks of this run no longer exclude any server
        raise MarkFailed(f"{error.detail}; start the run again") from error


@contextmanager
def _collection(coordinator: Coordinator, options: Options) -> Iterator[Collection]:
    with ExitStack() as stack:
        begun = coordinator.collection(options.grace, dry_run=options.dry_run, even_unsafe=options.i_know)
        try:
            collection = stack.enter_context(begun)
        except PathBusy as error:
            raise CollectorBusy(_BUSY) from error
        except NotSafe as error:
            reasons = "; ".join(error.args)
            raise SafetyCheckFailed(f"{reasons}; --i-know (pyregistry.gc.i-know: true) runs anyway") from error
        yield collection


def _run(
    objects: Objects, collection: Collection, options: Options, observer: ProgressObserver, processes: int
) -> Report:
    candidates = enumerate_blobs(objects, collection, processes)
    for sentence in unseen_blobs(objects):
        observer.skipped(sentence)
    if not options.dry_run:
        collection.barrier()  # earlier commits are visible now
    marker = Marker(objects, collection, candidates, options, observer)
    _check_safety(collection, candidates, options)
    plan = marker.plan(processes)
    if not options.dry_run and collection.condemn(plan.garbage()):
        marker, plan = _mark_again(marker, plan)
    _check_safety(collection, candidates, options)  # a volume may have been unmounted during the walk
    observer.planned(plan)
    report = _report_of(plan, options)
    if options.dry_run:
        _count(plan, report)
        _tell_emptied(objects, marker, plan, report)
    else:
        with suppress(OSError):  # a full disk: without the note a later run checks more
            collection.note_parts(everything=options.allow_empty)
        Sweep(marker, plan, report).run()
        note_used(objects, Used(report.blobs - report.blobs_removed, candidates.total_size() - report.bytes_freed))
        try:
            collection.tidy()
        except OSError as error:
            observer.skipped(in_words(error))
    return report


def _mark_again(marker: Marker, plan: Plan) -> tuple[Marker, Plan]:
    """Mark new content; return a plan without garbage that the first plan did not have."""
    again = Marker(marker.objects, marker.collection, marker.candidates, marker.options, marker.observer)
    found = again.plan()
    manifests = {each for group in plan.manifests for each in group}
    for group in found.manifests:
        if not manifests.issuperset(group):
            again.repositories[group[0].repository].keep(each.digest for each in group)
    links = set(plan.links)
    return again, replace(found, links=tuple(link for link in found.links if link in links))


def _check_safety(collection: Collection, candidates: Candidates, options: Options) -> None:
    if not len(candidates) or options.allow_empty:
        return
    try:
        reason = collection.missing()
    except OSError as error:
        raise MarkFailed(in_words(error)) from error
    if reason is not None:
        raise SafetyCheckFailed(
            f"a volume seems to be missing: there are {len(candidates)} blobs, but {reason}; if this is meant,"
            " use --allow-empty"
        )


@contextmanager
def no_collection(coordinator: Coordinator, *, wait: bool) -> Iterator[None]:
    """Exclude collections until the block ends; without `wait` raise CollectorBusy if one runs."""
    with ExitStack() as stack:
        try:
            stack.enter_context(coordinator.single(COLLECTOR, wait=wait))
        except PathBusy as error:
            raise CollectorBusy(_BUSY) from error
        yield


def _report_of(plan: Plan, options: Options) -> Report:
    ends_at = None
    if plan.leased.until_ns:
        ends_at = datetime.fromtimestamp(plan.leased.until_ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Report(
        dry_run=options.dry_run,
        repositories=plan.repositories,
        blobs=len(plan.candidates),
        blobs_marked=plan.candidates.marked_count(),
        blobs_kept_by_leases=plan.leased.blobs,
        bytes_kept_by_leases=plan.leased.size,
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


def _tell_emptied(objects: Objects, marker: Marker, plan: Plan, report: Report) -> None:
    try:
        emptied = would_be_emptied(objects, plan, marker.maybe_empty())
    except OSError as error:
        raise MarkFailed(in_words(error)) from error
    report.repositories_removed = len(emptied)
    for name in emptied:
        marker.observer.would_remove("repository", name)
