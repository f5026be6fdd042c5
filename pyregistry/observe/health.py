"""Health checks: each runs at its interval, and too many failures in a row make the service unhealthy.

Each process runs its own checks: one may fail to reach a storage that another reaches.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import structlog
from multidict import CIMultiDict
from yarl import URL

Probe = Callable[[], Awaitable[None]]
"""Raises Unhealthy, OSError or TimeoutError on failure."""

LOCK_SECONDS = 2.0
"""Seconds within which a writer should get the locks of the storage: a collector keeps them for 50 ms."""

log = structlog.get_logger("pyregistry.health")


class Unhealthy(Exception):
    """A failed check; the message says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """Times in seconds; `kind` is the key below `health`, `name` is what the CNCF registry calls the check."""

    kind: str
    name: str
    probe: Probe
    interval: float = 10.0
    timeout: float = 10.0
    threshold: int = 1
    """Failures in a row that make the service unhealthy."""


class HealthChecks:
    """The checks of this process, and their results."""

    def __init__(self, checks: Sequence[Check] = ()) -> None:
        self.checks = tuple(checks)
        self._failing: dict[Check, str] = {}

    @property
    def failing(self) -> Mapping[str, str]:
        """Reasons by name; for the operator only, since names are paths and addresses."""
        return {check.name: reason for check, reason in self._failing.items()}

    @property
    def is_failing(self) -> bool:
        """True while requests are refused."""
        return bool(self._failing)

    @property
    def failing_kinds(self) -> list[str]:
        """Kinds of the failing checks, which may be public."""
        return sorted({check.kind for check in self._failing})

    async def watch(self, _: object) -> AsyncIterator[None]:
        """Check regularly while the application runs; for Application.cleanup_ctx."""
        tasks = [asyncio.create_task(self._check_regularly(check)) for check in self.checks]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _check_regularly(self, check: Check) -> None:
        failures = 0
        while True:
            begun = time.monotonic()
            reason = await ask(check.probe, check.timeout)
            if reason is None:
                failures = 0
                if self._failing.pop(check, None) is not None:
                    log.info("healthy again", check=check.name)
            else:
                failures += 1
                if failures >= check.threshold:
                    if check not in self._failing:
                        log.error("health check failed", check=check.name, reason=reason, failures=failures)
                    self._failing[check] = reason
            await asyncio.sleep(max(check.interval - (time.monotonic() - begun), 0.0))


async def ask(probe: Probe, timeout: float) -> str | None:
    """Run a probe; return the reason of a failure, None on success."""
    try:
        async with asyncio.timeout(timeout):
            await probe()
    except TimeoutError:
        return f"no response within {timeout:g} s"
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    except Unhealthy as error:
        return str(error)
    except Exception as error:  # of a URL or header that cannot be sent; its text may be a secret
        return type(error).__name__
    return None


class InThread:
    """A blocking probe in a thread of its own.

    A hanging storage blocks only this thread, and not the loop's pool. The next call then waits for it, and fails at
    its deadline.
    """

    def __init__(self, probe: Callable[[], None]) -> None:
        self._probe = probe
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="health")

    async def __call__(self) -> None:
        """Run the probe in the thread."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._probe)

    async def closing(self, _: object) -> AsyncIterator[None]:
        """End the thread with the application; for Application.cleanup_ctx."""
        yield
        self._executor.shutdown(wait=False, cancel_futures=True)


def no_file(path: Path) -> Callable[[], None]:
    """Return a probe that fails if `path` exists: `touch` it to take the service out of rotation. Blocks."""

    def probe() -> None:
        with suppress(FileNotFoundError):
            path.stat()
            raise Unhealthy("file exists")

    return probe


def answers_head(uri: URL, status: int, headers: Sequence[tuple[str, str]]) -> Probe:
    """Return a probe that expects `status` from a HEAD of `uri`, after redirects."""

    async def probe() -> None:
        try:
            async with (
                aiohttp.ClientSession(trust_env=True) as session,
                session.head(uri, headers=CIMultiDict(headers), allow_redirects=True) as response,
            ):
                if response.status != status:
                    raise Unhealthy(f"downstream service returned unexpected status: {response.status}")
        except aiohttp.ClientConnectorError as error:
            raise Unhealthy(error.strerror or "connection failed") from error
        except aiohttp.ClientError as error:
            raise Unhealthy(type(error).__name__) from error  # its text may have the whole address

    return probe


def accepts(host: str, port: int) -> Probe:
    """Return a probe that opens a TCP connection."""

    async def probe() -> None:
        _, writer = await asyncio.open_connection(host, port)
        writer.close()

    return probe


def gets_locks(try_locks: Callable[[float], bool]) -> Callable[[], None]:
    """Return a probe that fails if a writer would not get the locks of the storage soon. Blocks."""
    lost_at: float | None = None

    def probe() -> None:
        nonlocal lost_at
        begun = time.monotonic()
        if try_locks(LOCK_SECONDS):
            lost_at = None
            return
        lost_at = begun if lost_at is None else lost_at
        raise Unhealthy(f"a lock has been held for {time.monotonic() - lost_at:.0f} s")

    return probe


class Readiness:
    """Readiness of this process for requests."""

    def __init__(self, health: HealthChecks, write: Probe | None, locks: Probe | None = None) -> None:
        """Take probes of a write to the storage and of its locks; None for a read-only registry."""
        self.draining = False
        self._health = health
        self._write = _CachedProbe("the storage cannot be written", write)
        self._locks = _CachedProbe("the storage is locked", locks)

    async def obstacles(self) -> list[str]:
        """Return the reasons against it, which may be public."""
        found = ["draining"] if self.draining else []
        found += [f"health check {kind} fails" for kind in self._health.failing_kinds]
        if await self._write.reason() is not None:
            found.append("the storage cannot be written")  # the reason names paths
        if (reason := await self._locks.reason()) is not None:
            found.append(reason)
        return found


class _CachedProbe:
    """A probe whose result is kept for a second: any client may cause it, and it uses the disk."""

    _SECONDS = 1.0
    """Seconds for which a result is valid."""
    _DEADLINE_SECONDS = 5.0

    def __init__(self, what: str, probe: Probe | None) -> None:
        self._what = what
        self._probe = probe
        self._asked_at = -self._SECONDS
        self._reason: str | None = None
        self._asking = asyncio.Lock()

    async def reason(self) -> str | None:
        """Return the reason of a failure, None on success."""
        if self._probe is None:
            return None
        async with self._asking:
            if time.monotonic() - self._asked_at >= self._SECONDS:
                before, self._reason = self._reason, await ask(self._probe, self._DEADLINE_SECONDS)
                self._asked_at = time.monotonic()
                if self._reason is not None and before is None:
                    log.error(self._what, reason=self._reason)
            return self._reason
