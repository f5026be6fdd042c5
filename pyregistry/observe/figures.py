"""Metric families that are read at a scrape instead of counted: of the disk, the processes, the config."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pyregistry.common.lazy import lazy

if TYPE_CHECKING:
    from prometheus_client import core
    from prometheus_client.metrics_core import Metric
else:
    core = lazy("prometheus_client.core")

log = structlog.get_logger("pyregistry.metrics")


@dataclass(frozen=True, slots=True)
class Figure:
    """One family: `values` by the values of its `labels`, in their order. A counter's name ends in `_total`."""

    name: str
    text: str
    values: Mapping[tuple[str, ...], float]
    labels: tuple[str, ...] = ()

    @property
    def is_counter(self) -> bool:
        """True if its values only increase."""
        return self.name.endswith("_total")


def single(name: str, text: str, value: float | None) -> Figure:
    """Return a family of one value without labels; an empty family if `value` is absent."""
    return Figure(name, text, {} if value is None else {(): value})


ReadFigures = Callable[[], Iterable[Figure]]
"""Reads families together. Blocks; an OSError, LookupError or ValueError leaves all of them out."""


class FigureCollector:
    """Collector of prometheus_client for the families of one function."""

    def __init__(self, read: ReadFigures) -> None:
        self._read = read

    def describe(self) -> Iterable["Metric"]:
        """Return nothing: a registration must not read the disk."""
        return []

    def collect(self) -> Iterable["Metric"]:
        """Return the families that have values."""
        try:
            figures = list(self._read())
        except (OSError, LookupError, ValueError) as error:  # the last two: of a /proc that is not Linux's own
            log.debug("figures left out", reason=repr(error))
            return
        for figure in figures:
            if figure.values:
                yield _family(figure)


def _family(figure: Figure) -> "Metric":
    kind = core.CounterMetricFamily if figure.is_counter else core.GaugeMetricFamily
    family = kind(figure.name, figure.text, labels=figure.labels)
    for labels, value in figure.values.items():
        family.add_metric(labels, value)
    return family
