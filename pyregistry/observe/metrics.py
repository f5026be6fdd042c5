"""Metrics for Prometheus, under the names of the CNCF registry where it has one.

The processes of a service count into files of one directory, and a scrape adds them up. Repositories are not a label:
their number is unbounded.
"""

import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pyregistry.common.lazy import import_now, lazy
from pyregistry.observe.figures import FigureCollector, ReadFigures
from pyregistry.observe.multiprocess_metrics import reading

if TYPE_CHECKING:
    import prometheus_client
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, core, exposition, multiprocess
    from prometheus_client.metrics_core import Metric
else:
    core = lazy("prometheus_client.core")  # of `figures`
    exposition = lazy("prometheus_client.exposition")
    multiprocess = lazy("prometheus_client.multiprocess")
    prometheus_client = lazy("prometheus_client")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_DURATIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60)
_SIZES = tuple(1024.0 * 2**power for power in range(22))
"""Bytes: 1 KiB to 2 GiB. Both are the CNCF registry's buckets."""
_TRIES, _PAUSE_SECONDS = 50, 0.02
"""Readings of the files, and seconds between them, until none of them is just being made."""
_ACTIONS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def prepare() -> None:
    """Import the library before the fork, so that workers share its memory. The directory must be known by then."""
    import_now(prometheus_client, core, exposition, multiprocess)


class Metrics:
    """The counters of this process, and the totals of all processes that count into `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._registry = prometheus_client.CollectorRegistry()
        self._series: dict[tuple[str, str], _Series] = {}
        self._at_scrape: list[FigureCollector] = []
        self._requests = prometheus_client.Counter(
            "registry_http_requests_total",
            "Total number of HTTP requests made.",
            ["handler", "method", "code"],
            registry=self._registry,
        )
        self._durations = prometheus_client.Histogram(
            "registry_http_request_duration_seconds",
            "The HTTP request latencies in seconds.",
            ["handler", "method"],
            buckets=_DURATIONS,
            registry=self._registry,
        )
        self._received, self._sent = (
            prometheus_client.Histogram(name, text, ["handler"], buckets=_SIZES, registry=self._registry)
            for name, text in (
                ("registry_http_request_size_bytes", "The sizes of request bodies in bytes, where there is one."),
                ("registry_http_response_size_bytes", "The sizes of response bodies in bytes, where there is one."),
            )
        )
        self._in_flight = prometheus_client.Gauge(
            "registry_http_in_flight_requests",
            "The in-flight HTTP requests.",
            ["handler"],
            multiprocess_mode="livesum",  # the requests of a killed process have ended
            registry=self._registry,
        )
        self._actions = prometheus_client.Histogram(
            "registry_storage_action_seconds",
            "The number of seconds that the storage action takes.",
            ["driver", "action"],
            buckets=_ACTIONS,
            registry=self._registry,
        )

    def request(self, handler: str, method: str, begun: float | None = None) -> "RunningRequest":
        """Count a request for this handler, which began now or at `begun` of `time.perf_counter`."""
        known = method.lower() if method in _METHODS else "unknown"  # a client can invent any number of methods
        series = self._series.get((handler, known))
        if series is None:
            series = self._series[handler, known] = _Series(
                self._in_flight.labels(handler),
                self._durations.labels(handler, known),
                self._received.labels(handler),
                self._sent.labels(handler),
                lambda status: self._requests.labels(handler, known, str(status)),
            )
        return RunningRequest(series, time.perf_counter() if begun is None else begun)

    def storage_action(self, driver: str, action: str) -> Callable[[float], None]:
        """Return a function to call, from any thread, with the seconds that such an action took."""
        return self._actions.labels(driver, action).observe

    def gauge(self, name: str, text: str, labels: Sequence[str] = (), mode: str = "livesum") -> "Gauge":
        """Make a gauge of this worker; `mode` aggregates all workers, see prometheus_client.Gauge."""
        return prometheus_client.Gauge(name, text, labels, registry=self._registry, multiprocess_mode=mode)  # type: ignore[arg-type] # a Literal there

    def counter(self, name: str, text: str, *labels: str) -> "Counter":
        """Make a counter of all workers."""
        return prometheus_client.Counter(name, text, labels, registry=self._registry)

    def at_scrape(self, read: ReadFigures) -> None:
        """Show the families that `read` returns at each scrape, in a thread; for values common to all processes."""
        self._at_scrape.append(FigureCollector(read))

    def page(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics in the format of the `Accept` header, and its Content-Type. Blocks."""
        encode, content_type = exposition.choose_encoder(accept)
        return encode(self._all_processes()), content_type

    def _all_processes(self) -> "CollectorRegistry":
        found = prometheus_client.CollectorRegistry()
        found.register(_Shared(self.directory))
        for figure in self._at_scrape:
            found.register(figure)
        return found


@dataclass(frozen=True, slots=True)
class _Series:
    """The metrics of one handler and method, looked up once."""

    in_flight: "Gauge"
    durations: "Histogram"
    received: "Histogram"
    sent: "Histogram"
    make_counter: "Callable[[int], Counter]"
    by_status: "dict[int, Counter]" = field(default_factory=dict)

    def counter(self, status: int) -> "Counter":
        """Return the counter of the responses with this status."""
        counter = self.by_status.get(status)
        if counter is None:
            counter = self.by_status[status] = self.make_counter(status)
        return counter


class RunningRequest:
    """A request until its response."""

    __slots__ = ("_begun", "_series")

    def __init__(self, series: _Series, begun: float) -> None:
        self._series = series
        self._begun = begun
        series.in_flight.inc()

    def end(self, status: int, received: int, sent: int) -> None:
        """Count the response; `received` and `sent` are the bytes of the bodies."""
        series = self._series
        series.in_flight.dec()
        series.counter(status).inc()
        series.durations.observe(time.perf_counter() - self._begun)
        if received:
            series.received.observe(received)
        if sent:
            series.sent.observe(sent)


class _Shared:
    """Collector of the totals of all processes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def describe(self) -> Iterable["Metric"]:
        """Return nothing: a registration must not read the disk."""
        return []

    def collect(self) -> Iterable["Metric"]:
        """Return the families of all processes."""
        tries = _TRIES
        while True:
            try:
                return self._collect()
            except struct.error:  # of the still empty file of a worker that has just started
                tries -= 1
                if not tries:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def _collect(self) -> Iterable["Metric"]:
        with reading(self._directory):
            collector = multiprocess.MultiProcessCollector(None, str(self._directory))  # type: ignore[no-untyped-call] # has none
            found: Iterable[Metric] = collector.collect()  # type: ignore[no-untyped-call] # the same
            return found
