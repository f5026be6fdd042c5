"""A worker's own numbers, copied every second into the metrics of all workers.

A request changes a plain number of its process, without the cost of the shared files. A killed worker loses at most
the numbers of one second.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress

from pyregistry.observe.metrics import Metrics

SAMPLE_SECONDS = 1.0
_DELAYS_KEPT = 60
"""Samples whose longest delay is shown: those of the last minute."""

Values = Mapping[str, float]
"""Numbers by the value of their one label."""


class Sampler:
    """Copies its gauges and counters as long as the application runs."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._samples: list[Callable[[], None]] = []
        self._delays: deque[float] = deque(maxlen=_DELAYS_KEPT)

    def gauge(self, name: str, text: str, read: Callable[[], float], mode: str = "livesum") -> None:
        """Show the sum over all workers of the number that `read` returns, or with `livemax` the highest."""
        gauge = self._metrics.gauge(name, text, mode=mode)
        self._samples.append(lambda: gauge.set(read()))

    def gauges(self, name: str, text: str, label: str, read: Callable[[], Values]) -> None:
        """Show the sums over all workers of the numbers that `read` returns, by the value of `label`."""
        gauge = self._metrics.gauge(name, text, (label,))

        def sample() -> None:
            for value, number in read().items():
                gauge.labels(value).set(number)

        self._samples.append(sample)

    def counter(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Increase a counter by the growth of the number that `read` returns."""
        counter = self._metrics.counter(name, text)
        before = 0.0

        def sample() -> None:
            nonlocal before
            number = read()
            counter.inc(number - before)
            before = number

        self._samples.append(sample)

    def counters(self, name: str, text: str, label: str, read: Callable[[], Values]) -> None:
        """Increase counters by the growth of the numbers that `read` returns."""
        counter = self._metrics.counter(name, text, label)
        before: dict[str, float] = {}

        def sample() -> None:
            for value, number in read().items():
                counter.labels(value).inc(number - before.get(value, 0.0))
                before[value] = number

        self._samples.append(sample)

    def longest_delay(self) -> float:
        """Return the longest delay of the event loop for a sample of the last minute, in seconds."""
        return max(self._delays, default=0.0)

    async def run(self, _: object) -> AsyncIterator[None]:
        """Sample regularly, and once more at the end; for Application.cleanup_ctx."""
        task = asyncio.create_task(self._sample_regularly())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self._sample()

    async def _sample_regularly(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._sample()
            due = loop.time() + SAMPLE_SECONDS
            await asyncio.sleep(SAMPLE_SECONDS)
            self._delays.append(max(loop.time() - due, 0.0))

    def _sample(self) -> None:
        for sample in self._samples:
            sample()
