"""Metrics other than those of requests: some are sampled in each worker, others read at a scrape.

docs/monitoring.md has a row for each of them.
"""

import os
import platform
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from pyregistry import __version__
from pyregistry.api.http.context import BLOB_CACHE, HEALTH, MANIFEST_CACHE, REFUSED_TOKENS, REGISTRY
from pyregistry.api.transport.limiter import CONNECTION_COUNTS, ConnectionCounts
from pyregistry.auth.access import Authenticator
from pyregistry.auth.credentials import Refusal
from pyregistry.common.lazy import lazy
from pyregistry.common.opener import read_file
from pyregistry.config.schema import Config
from pyregistry.gc.last_run import gc_figures
from pyregistry.observe.figures import Figure, single
from pyregistry.observe.metrics import Metrics
from pyregistry.observe.multiprocess_metrics import ENDS, ENDS_TEXT, End
from pyregistry.observe.processes import network_figures, process_figures
from pyregistry.observe.reloads import Reload
from pyregistry.observe.sampling import Sampler
from pyregistry.observe.survey import Survey
from pyregistry.storage.backend import Backend
from pyregistry.storage.local.driver import LocalMaintenance
from pyregistry.storage.repositories.used import last_used
from pyregistry.storage.seams import layout
from pyregistry.threads.pools import Pool, pools

if TYPE_CHECKING:
    from cryptography import x509
else:
    x509 = lazy("cryptography.x509")


def register_service_gauges(metrics: Metrics, config: Config, workers: int, reload: Reload) -> None:
    """Register metrics of this service's processes, version and config."""
    ends = metrics.counter(ENDS, ENDS_TEXT, "reason")
    for reason in End:
        ends.labels(reason)  # shows a 0 before the first one
    master = os.getppid()
    metrics.at_scrape(lambda: process_figures(master))
    metrics.at_scrape(network_figures)
    certificate = config.http.tls.certificate

    def of_service() -> Iterator[Figure]:
        version = (__version__, platform.python_version())
        yield Figure(
            "pyregistry_build_info", "The version, as labels; the value is 1.", {version: 1.0}, ("version", "python")
        )
        yield single("pyregistry_workers_configured", "Workers that the config asks for.", workers)
        yield single(
            "pyregistry_config_last_reload_successful",
            "1 if the config that was loaded last is active, 0 if it was invalid.",
            reload.succeeded,
        )
        yield single(
            "pyregistry_config_last_reload_timestamp_seconds",
            "Time of the start, or of the SIGHUP since then, in seconds since the epoch.",
            reload.at,
        )

    metrics.at_scrape(of_service)
    if certificate:
        metrics.at_scrape(lambda: _certificate_figures(Path(certificate)))


def register_app_gauges(
    app: web.Application, config: Config, metrics: Metrics, backend: Backend, passwords: Authenticator
) -> None:
    """Register metrics of an application's storage, garbage collection, queues and logins.

    `backend` is the unmeasured one; `passwords` authenticates requests without a token.
    """
    metrics.at_scrape(lambda: _storage_figures(app, backend))
    interval = 0.0 if config.storage.maintenance.readonly.enabled else float(config.pyregistry.gc.interval)
    metrics.at_scrape(lambda: gc_figures(backend.objects, interval))
    survey = Survey(app[REGISTRY], metrics.directory)
    metrics.at_scrape(survey.figures)
    app.cleanup_ctx.append(survey.run)
    sampler = Sampler(metrics)
    _sample_queues(sampler, app, backend.local)
    _sample_logins(sampler, app, passwords)
    _sample_connections(sampler, app)
    _sample_cache(sampler, app)
    app.cleanup_ctx.append(sampler.run)


def _sample_queues(sampler: Sampler, app: web.Application, local: LocalMaintenance | None) -> None:
    def of_pools(read: Callable[[Pool], int]) -> Callable[[], Mapping[str, float]]:
        return lambda: {name: float(read(pool)) for name, pool in pools().by_name.items()}

    for name, text, read in (
        ("threads", "Threads of the workers by room, see docs/decisions/0026.", lambda pool: pool.threads),
        ("threads_busy", "Threads that carry out a call, by room.", lambda pool: pool.busy),
        ("thread_calls_waiting", "Calls that wait for a thread, by room.", lambda pool: pool.waiting),
    ):
        sampler.gauges(f"pyregistry_{name}", text, "room", of_pools(read))
    if local is not None:
        sampler.gauge(
            "pyregistry_lock_waiters", "Calls that wait for a lock of the storage.", lambda: local.lock_waiters
        )
    health = app[HEALTH]
    sampler.gauge(
        "pyregistry_health_checks_failing",
        "Failing health checks, in the worker with most of them; meanwhile each response is 503.",
        lambda: len(health.failing),
        mode="livemax",
    )
    sampler.gauge(
        "pyregistry_event_loop_delay_seconds",
        "The longest time in the last minute that a worker's event loop was late.",
        sampler.longest_delay,
        mode="livemax",
    )


def _sample_logins(sampler: Sampler, app: web.Application, authenticator: Authenticator) -> None:
    tokens, passwords = app[REFUSED_TOKENS], authenticator.passwords

    def refused() -> Mapping[str, float]:
        return {**({} if passwords is None else passwords.refused), Refusal.TOKEN: tokens.total()}

    text = "Rejected logins: wrong password, throttled (429), or invalid token."
    sampler.counters("pyregistry_failed_logins_total", text, "reason", refused)
    if passwords is not None:
        sampler.gauge("pyregistry_passwords_waiting", "Passwords that wait to be checked.", lambda: passwords.waiting)


def _sample_cache(sampler: Sampler, app: web.Application) -> None:
    """Register the caches' metrics by their names in the CNCF registry 3, and in 2 with its capitalized labels."""
    caches = app[MANIFEST_CACHE], app[BLOB_CACHE]

    def hits() -> float:
        return sum(each.hits for each in caches)

    def requests() -> float:
        return sum(each.hits + each.misses for each in caches)

    prefix, what = "registry_storage_cache", "manifests, and blobs that were asked for with HEAD"
    sampler.counter(f"{prefix}_requests_total", f"The number of cache requests received: {what}.", requests)
    sampler.counter(f"{prefix}_hits_total", "The number of cache requests answered from memory.", hits)
    sampler.counter(f"{prefix}_errors_total", "The number of cache request errors: memory has none.", lambda: 0.0)
    sampler.counters(
        f"{prefix}_total",
        "The number of cache requests by type, as the CNCF registry 2 shows them.",
        "type",
        lambda: {"Request": requests(), "Hit": hits(), "Miss": requests() - hits()},
    )


def _sample_connections(sampler: Sampler, app: web.Application) -> None:
    counts = app[CONNECTION_COUNTS] = ConnectionCounts()
    sampler.gauge("pyregistry_connections", "Open connections at http.addr.", lambda: counts.open)
    sampler.counters(
        "pyregistry_connections_ended_total",
        "Connections ended by pyregistry.limits: refused, or idle and closed for a new one.",
        "reason",
        lambda: {"refused": counts.refused, "idle": counts.closed_idle},
    )


def _storage_figures(app: web.Application, backend: Backend) -> Iterator[Figure]:
    text = "Free space for uploads, in bytes."
    yield single("pyregistry_storage_room_bytes", text, app[REGISTRY].available_bytes())
    if backend.local is not None:
        yield from _file_system_figures(backend.local)
    used = last_used(backend.objects)
    if used is not None:
        counted = "when garbage collection or `du` counted last."
        yield single("pyregistry_storage_blobs", f"Blobs and manifests {counted}", used.blobs)
        yield single("pyregistry_storage_blob_bytes", f"Bytes of all blobs and manifests {counted}", used.size)
        text = "Time at which blobs were counted last, in seconds since the epoch."
        yield single("pyregistry_storage_counted_timestamp_seconds", text, used.counted_at)


def _file_system_figures(local: LocalMaintenance) -> Iterator[Figure]:
    """Yield the sizes of each file system of the data directory; the label is its path below it, `.` for the top."""
    sizes: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in ("size", "free", "files", "files_free")}
    for place in local.private_directories():
        top = layout.above(place)
        usage, label = os.statvfs(local.root / top), (top or ".",)
        sizes["size"][label] = usage.f_blocks * usage.f_frsize
        sizes["free"][label] = usage.f_bavail * usage.f_frsize
        sizes["files"][label] = usage.f_files
        sizes["files_free"][label] = usage.f_favail
    for name, text, key in (
        ("size_bytes", "Bytes of the file system of the data directory.", "size"),
        ("free_bytes", "Bytes of the file system that the server may still use.", "free"),
        ("files", "Inodes of the file system; 0 if it has no fixed number.", "files"),
        ("files_free", "Inodes of the file system that the server may still use.", "files_free"),
    ):
        yield Figure(f"pyregistry_storage_filesystem_{name}", text, sizes[key], ("mount",))


def _certificate_figures(path: Path) -> Iterator[Figure]:
    content = read_file(path)
    yield single(
        "pyregistry_tls_certificate_expiry_timestamp_seconds",
        "End of the validity of http.tls.certificate, in seconds since the epoch.",
        _expiry(content),
    )


@lru_cache(1)
def _expiry(content: bytes) -> float | None:
    try:
        return x509.load_pem_x509_certificate(content).not_valid_after_utc.timestamp()
    except ValueError:  # the file is being written, or is damaged, which the log reports
        return None
