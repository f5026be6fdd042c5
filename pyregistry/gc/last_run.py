"""The figures of the last run, by the server or a command: kept in the data directory."""

from collections.abc import Iterator, Mapping
from contextlib import suppress

import msgspec

from pyregistry.gc.types import Report
from pyregistry.observe.figures import Figure, single
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.objects import Objects, PathNotFound

GC_FIGURES: Mapping[str, str] = {
    "last_run_timestamp_seconds": "Time at which the last garbage collection ended, in seconds since the epoch.",
    "last_run_seconds": "Seconds that the last garbage collection took.",
    "last_run_bytes_freed": "The bytes that the last garbage collection freed.",
    "last_run_blobs": "The blobs that the last garbage collection found.",
    "last_run_blobs_removed": "The blobs that the last garbage collection removed.",
    "last_run_blobs_kept_by_leases": "The blobs that the last garbage collection kept for pushes in progress only.",
    "last_run_skipped": "The things that the last garbage collection could not read or remove.",
    "last_failure_timestamp_seconds": "Time at which the server's own run failed last, in seconds since the epoch.",
    "last_attempt_succeeded": "1 if the last garbage collection succeeded, 0 if the server's last attempt failed.",
    "interval_seconds": "Seconds between two garbage collections of the server, 0 if it runs none by itself.",
}
"""Names of metrics without their prefix, with their help texts."""


def last_run(objects: Objects) -> Report | None:
    """Return the report of the last run, if there was one. Blocks."""
    try:
        return msgspec.json.decode(objects.read(layout.LAST_GC), type=Report)
    except (PathNotFound, msgspec.DecodeError):  # the second: a server that waits for its first run
        return None


def gc_figures(objects: Objects, interval: float) -> Iterator[Figure]:
    """Yield GC_FIGURES of the runs so far; `interval` is 0 if the server runs none by itself. Blocks."""
    values = {"interval_seconds": interval, **_last_values(objects)}
    for name, value in values.items():
        yield single(f"pyregistry_gc_{name}", GC_FIGURES[name], value)


def _last_values(objects: Objects) -> Mapping[str, float]:
    values: dict[str, float] = {}
    with suppress(PathNotFound):
        values["last_failure_timestamp_seconds"] = objects.stat(layout.LAST_GC_FAILURE).modified_ns / 1e9
    report = last_run(objects)
    if report is not None:
        values["last_run_timestamp_seconds"] = objects.stat(layout.LAST_GC).modified_ns / 1e9
        values["last_run_skipped"] = len(report.skipped)
        for field in ("seconds", "bytes_freed", "blobs", "blobs_removed", "blobs_kept_by_leases"):
            values[f"last_run_{field}"] = getattr(report, field)
    if values:
        failed_at = values.get("last_failure_timestamp_seconds", 0.0)
        values["last_attempt_succeeded"] = values.get("last_run_timestamp_seconds", 0.0) > failed_at
    return values
