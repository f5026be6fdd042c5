"""Repositories and open uploads, counted from time to time by one worker; a scrape reads the last result.

A survey that takes 10 ms is repeated after a minute, one that takes 20 seconds after an hour.
"""

import asyncio
import fcntl
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from pyregistry.common.system_errors import in_words
from pyregistry.observe.figures import Figure, single
from pyregistry.storage.repositories.open_uploads import walk_uploads
from pyregistry.storage.repositories.registry import EVERYTHING, Registry
from pyregistry.threads.fair_scheduler import Walk
from pyregistry.threads.offload import in_thread, walk

_LEAST_SECONDS, _MOST_SECONDS = 60.0, 3600.0
"""Seconds between two surveys."""
_REST = 200
"""Pause before the next survey, in durations of the last: surveys take half a percent of one thread."""
_FIRST_SECONDS = 2.0
"""Seconds after the start of a worker within which it checks for the first time."""
_CHECK_SECONDS = 60.0
"""Seconds between two checks of a worker for a due survey."""

log = structlog.get_logger("pyregistry.metrics")


@dataclass(frozen=True, slots=True)
class SurveyResult:
    """Results of one survey. Size in bytes, time in seconds since the epoch."""

    repositories: int
    uploads: int
    uploads_size: int
    counted_at: float
    seconds: float
    """Time that the survey took."""


def pause_after(seconds: float) -> float:
    """Return the seconds from the end of a survey that took `seconds` to the next."""
    return min(max(seconds * _REST, _LEAST_SECONDS), _MOST_SECONDS)


class Survey:
    """Surveys of one service; the `directory` of its metrics has the last result."""

    def __init__(self, registry: Registry, directory: Path) -> None:
        self._registry = registry
        self._result, self._lock = directory / "survey.json", directory / "survey.lock"

    async def run(self, _: object) -> AsyncIterator[None]:
        """Survey regularly while the application runs; for Application.cleanup_ctx."""
        task = asyncio.create_task(self._survey_regularly())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def figures(self) -> Iterator[Figure]:
        """Yield the last result; raise OSError without one. Blocks."""
        counted = self._last()
        yield single(
            "pyregistry_repositories", "Repositories in the catalog, when they were counted last.", counted.repositories
        )
        yield single("pyregistry_uploads_open", "Open uploads, when they were counted last.", counted.uploads)
        yield single(
            "pyregistry_uploads_open_bytes",
            "Bytes that open uploads held, when they were counted last.",
            counted.uploads_size,
        )
        yield single(
            "pyregistry_survey_timestamp_seconds",
            "Time at which repositories and open uploads were counted last, in seconds since the epoch.",
            counted.counted_at,
        )

    async def _survey_regularly(self) -> None:
        pause = _FIRST_SECONDS
        while True:
            await asyncio.sleep(pause * random.uniform(0, 1))  # noqa: S311 - spreads the workers, keeps no secret
            pause = _CHECK_SECONDS
            try:
                await self._survey_if_due()
            except OSError as error:
                log.warning("repositories could not be counted", reason=in_words(error))
                pause = _MOST_SECONDS

    async def _survey_if_due(self) -> None:
        lock = await in_thread(self._try_lock)
        if lock is None:
            return
        try:
            if await in_thread(self._is_due):
                counted = await walk("survey", _count(self._registry))
                await in_thread(self._keep, counted)
        finally:
            os.close(lock)

    def _try_lock(self) -> int | None:
        """Return a locked descriptor; None while another worker counts."""
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return handle

    def _last(self) -> SurveyResult:
        return msgspec.json.decode(self._result.read_bytes(), type=SurveyResult)

    def _is_due(self) -> bool:
        with suppress(FileNotFoundError):
            last = self._last()
            return not 0 <= time.time() - last.counted_at < pause_after(last.seconds)
        return True

    def _keep(self, counted: SurveyResult) -> None:
        new = self._result.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(counted))
        new.replace(self._result)


def _count(registry: Registry) -> Walk[SurveyResult]:
    repositories, begin = 0, time.monotonic()
    for name in registry.list_catalog(None, EVERYTHING):
        repositories += name is not None
        yield
    uploads = yield from walk_uploads(registry, lambda upload, error: None)
    return SurveyResult(
        repositories, len(uploads), sum(each.size for each in uploads), time.time(), time.monotonic() - begin
    )
