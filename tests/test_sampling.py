"""A worker's own numbers on their way to the metrics."""

import asyncio
import re
import time
from collections import Counter
from pathlib import Path

import pytest

from pyregistry.observe.metrics import Metrics
from pyregistry.observe.sampling import SAMPLE_SECONDS, Sampler


def shown(metrics: Metrics, name: str) -> dict[str, float]:
    """The values of this process by what is in braces."""
    return {
        ",".join(f"{label}={value}" for label, value in sample.labels.items()): sample.value
        for family in metrics._registry.collect()
        for sample in family.samples
        if sample.name == name
    }


async def test_counters_grow_by_as_much_as_the_numbers_and_gauges_follow(tmp_path: Path) -> None:
    metrics, numbers = Metrics(tmp_path), Counter(found=2, lost=0)
    sampler = Sampler(metrics)
    sampler.counters("test_things_total", "Things.", "kind", lambda: numbers)
    sampler.counter("test_finds_total", "Finds.", lambda: numbers["found"])
    sampler.gauge("test_level", "Level.", lambda: numbers["lost"])
    running = sampler.run(None)
    await anext(running)
    await asyncio.sleep(0)
    assert shown(metrics, "test_things_total") == {"kind=found": 2, "kind=lost": 0}
    numbers.update(found=3, lost=1)
    await asyncio.sleep(SAMPLE_SECONDS * 1.5)
    assert shown(metrics, "test_things_total") == {"kind=found": 5, "kind=lost": 1}
    numbers.update(found=4)
    async for _ in running:  # the end of the application
        raise AssertionError
    assert shown(metrics, "test_things_total") == {"kind=found": 9, "kind=lost": 1}
    assert shown(metrics, "test_finds_total") == {"": 9}
    assert shown(metrics, "test_level") == {"": 1}


async def test_a_loop_that_is_kept_busy_shows_as_a_delay(tmp_path: Path) -> None:
    sampler = Sampler(Metrics(tmp_path))
    running = sampler.run(None)
    await anext(running)
    await asyncio.sleep(SAMPLE_SECONDS * 0.5)
    time.sleep(SAMPLE_SECONDS)  # half a second longer than the next sample is due
    await asyncio.sleep(SAMPLE_SECONDS * 0.1)
    assert sampler.longest_delay() > 0.3
    async for _ in running:
        raise AssertionError


@pytest.mark.parametrize("error", [PermissionError(), IndexError(), KeyError("InOctets"), ValueError("x")], ids=repr)
def test_a_scrape_leaves_out_what_cannot_be_read(error: Exception, tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)

    def fail() -> list[object]:
        raise error

    metrics.at_scrape(fail)  # type: ignore[arg-type] # returns nothing at all
    page, _ = metrics.page("")
    assert re.findall(rb"# TYPE", page) == []
