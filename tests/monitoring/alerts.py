"""Series for which each alert fires, and for which it does not: values as promtool writes them, one each minute.

`0x90` is 91 times a 0, `0+5x90` grows by five each time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MINUTES = 90
GB = 10**9


@dataclass(frozen=True)
class Case:
    """Series by name, the labels in braces, at the end of `minutes`."""

    series: Mapping[str, str]
    minutes: int = MINUTES


def always(value: float) -> str:
    return f"{value:g}x{MINUTES}"


def growing(step: float, begin: float = 0) -> str:
    return f"{begin:g}+{step:g}x{MINUTES}"


def falling(step: float, begin: float) -> str:
    return f"{begin:g}-{step:g}x{MINUTES}"


def disk(free: str, size: float = 100 * GB) -> Case:
    name = "pyregistry_storage_filesystem"
    return Case({f'{name}_free_bytes{{mount="."}}': free, f'{name}_size_bytes{{mount="."}}': always(size)})


def answered(errors: float, others: float) -> Case:
    name = 'registry_http_requests_total{handler="blob",method="get",code'
    return Case({f'{name}="500"}}': growing(errors), f'{name}="200"}}': growing(others)})


def took(fast: float, slow: float) -> Case:
    name = 'registry_http_request_duration_seconds_bucket{handler="manifest",method="get",le'
    return Case(
        {
            f'{name}="0.005"}}': growing(fast),
            f'{name}="1"}}': growing(fast),
            f'{name}="5"}}': growing(fast + slow),
            f'{name}="+Inf"}}': growing(fast + slow),
        }
    )


def gc(interval: float) -> Case:
    # The clock of such a test begins at 0.
    return Case(
        {"pyregistry_gc_last_run_timestamp_seconds": always(0), "pyregistry_gc_interval_seconds": always(interval)}
    )


def pair(first: str, one: str, second: str, other: str) -> Case:
    return Case({first: one, second: other})


def one(name: str, values: str, minutes: int = MINUTES) -> Case:
    return Case({name: values}, minutes)


_LOGINS = 'pyregistry_failed_logins_total{reason="%s"}'
_ENDS = 'pyregistry_worker_ends_total{reason="%s"}'
_CONNECTIONS = 'pyregistry_connections_ended_total{reason="refused"}'
_INODES = ('pyregistry_storage_filesystem_files_free{mount="."}', 'pyregistry_storage_filesystem_files{mount="."}')
_UPLOADS = ("pyregistry_uploads_open_bytes", 'pyregistry_storage_filesystem_size_bytes{mount="."}')
_WORKERS = ("pyregistry_workers", "pyregistry_workers_configured")
_FILES = ("process_open_fds", "process_max_fds")
_EXPIRY = "pyregistry_tls_certificate_expiry_timestamp_seconds"
_DAY = 86400

CASES: Mapping[str, tuple[Case, Case]] = {
    "RegistryDown": (one("up", always(0)), one("up", always(1))),
    "RegistryServerErrors": (answered(2, 98), answered(0.5, 99.5)),
    "RegistryHealthCheckFails": (
        one("pyregistry_health_checks_failing", always(1)),
        one("pyregistry_health_checks_failing", always(0)),
    ),
    "RegistrySlow": (took(95, 5), took(1000, 5)),
    "RegistryNoRoom": (
        one("pyregistry_storage_room_bytes", always(0)),
        one("pyregistry_storage_room_bytes", always(1)),
    ),
    "RegistryLittleRoom": (disk(always(9 * GB)), disk(always(11 * GB))),
    "RegistryDiskFillsSoon": (disk(falling(0.01 * GB, 39 * GB)), disk(falling(0.001 * GB, 39 * GB))),
    "RegistryFewInodes": (
        pair(_INODES[0], always(4), _INODES[1], always(100)),
        pair(_INODES[0], always(0), _INODES[1], always(0)),  # btrfs has no fixed number
    ),
    "RegistryUploadsPileUp": (
        Case({_UPLOADS[0]: "11x300", _UPLOADS[1]: "100x300"}, 300),
        Case({_UPLOADS[0]: "9x300", _UPLOADS[1]: "100x300"}, 300),
    ),
    "RegistryGcFailed": (
        one("pyregistry_gc_last_attempt_succeeded", always(0)),
        one("pyregistry_gc_last_attempt_succeeded", always(1)),
    ),
    "RegistryGcLate": (gc(300), gc(0)),
    "RegistryGcSkips": (
        one("pyregistry_gc_last_run_skipped", always(1)),
        one("pyregistry_gc_last_run_skipped", always(0)),
    ),
    "RegistryFailedLogins": (one(_LOGINS % "wrong", growing(20)), one(_LOGINS % "token", growing(20))),
    "RegistryWorkersMissing": (
        pair(_WORKERS[0], always(3), _WORKERS[1], always(4)),
        pair(_WORKERS[0], always(4), _WORKERS[1], always(4)),
    ),
    "RegistryWorkersDie": (one(_ENDS % "killed", growing(0.1)), one(_ENDS % "stopped", growing(4))),
    "RegistryFewFiles": (
        pair(_FILES[0], always(850), _FILES[1], always(1000)),
        pair(_FILES[0], always(500), _FILES[1], always(1000)),
    ),
    "RegistryConnectionsRefused": (one(_CONNECTIONS, growing(1)), one(_CONNECTIONS, always(7))),
    "RegistryCallsWait": (
        one('pyregistry_thread_calls_waiting{room="writes"}', always(3)),
        one('pyregistry_thread_calls_waiting{room="writes"}', "0 3 0x88"),
    ),
    "RegistryLockHeld": (one("pyregistry_lock_waiters", always(1)), one("pyregistry_lock_waiters", always(0))),
    "RegistryEventLoopLate": (
        one("pyregistry_event_loop_delay_seconds", always(1.5)),
        one("pyregistry_event_loop_delay_seconds", always(0.2)),
    ),
    "RegistryConfigRefused": (
        one("pyregistry_config_last_reload_successful", always(0)),
        one("pyregistry_config_last_reload_successful", always(1)),
    ),
    "RegistryCertificateExpires": (one(_EXPIRY, always(13 * _DAY)), one(_EXPIRY, always(16 * _DAY))),
}
"""By alert: series with which it fires, and series with which it does not."""


def unit_test(alert: str, case: Case, *, fires: bool) -> dict[str, Any]:
    """Return a test for `promtool test rules`: whether the alert fires for the registry `r`, at the end."""
    series = []
    for name, values in case.series.items():
        bare, _, labels = name.partition("{")
        own = ['job="pyregistry"', 'instance="r"', *([labels.removesuffix("}")] if labels else [])]
        series.append({"series": f"{bare}{{{','.join(own)}}}", "values": values})
    asked = {
        "expr": f'count by (alertname, instance) (ALERTS{{alertname="{alert}", alertstate="firing"}})',
        "eval_time": f"{case.minutes}m",
        "exp_samples": [{"labels": f'{{alertname="{alert}", instance="r"}}', "value": 1}] if fires else [],
    }
    name = f"{alert} {'fires' if fires else 'is quiet'}"
    return {"name": name, "interval": "1m", "input_series": series, "promql_expr_test": [asked]}
