"""Health checks: each asks at its interval, and too many failures in a row make the service unhealthy.

Each process checks for itself: it must answer for itself, and what one knows of the storage is not what another does.
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
"""Raises Unhealthy, OSError or TimeoutError if something is wrong."""

LOCK_SECONDS = 2.0
"""Seconds within which a writer should get the locks of the storage: a collector keeps them for 50 ms."""

log = structlog.get_logger("pyregistry.health")


class Unhealthy(Exception):
    """The text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Check:
    """Times in seconds; `kind` is the key below `health`, `name` is what the CNCF registry calls the check."""

    kind: str
    name: str
    probe: Probe
    interval: float = 10.0
    timeout: float = 10.0
    threshold: int = 1
    """Failures in a row that count."""


class Health:
    """The checks of this process and what came of them."""

    def __init__(self, checks: Sequence[Check] = ()) -> None:
        self.checks = tuple(checks)
        self._failing: dict[Check, str] = {}

    @property
    def failing(self) -> Mapping[str, str]:
        """Name to reason; for the operator only: names are paths and addresses."""
        return {check.name: reason for check, reason in self._failing.items()}

    @property
    def is_failing(self) -> bool:
        """True while nobody is to be served."""
        return bool(self._failing)

    @property
    def failing_kinds(self) -> list[str]:
        """What may be told to anybody."""
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
    """Return the fault, None if there is none."""
    try:
        async with asyncio.timeout(timeout):
            await probe()
    except TimeoutError:
        return f"no answer within {timeout:g} s"
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    except Unhealthy as error:
        return str(error)
    except Exception as error:  # of a URL or a header that cannot be sent; its text may be a secret
        return type(error).__name__
    return None


class InThread:
    """A probe that blocks, in a thread of its own.

    A storage that hangs holds this thread and no other: the loop's pool has work to do. While it hangs the next call
    waits behind it, and fails for its deadline.
    """

    def __init__(self, probe: Callable[[], None]) -> None:
        self._probe = probe
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="health")

    async def __call__(self) -> None:
        """See Probe."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._probe)

    async def closing(self, _: object) -> AsyncIterator[None]:
        """End the thread with the application; for Application.cleanup_ctx."""
        yield
        self._executor.shutdown(wait=False, cancel_futures=True)


def no_file(path: Path) -> Callable[[], None]:
    """Healthy as long as nothing is at `path`: `touch` it to take the service out. Blocks."""

    def probe() -> None:
        with suppress(FileNotFoundError):
            path.stat()
            raise Unhealthy("file exists")

    return probe


def answers_head(uri: URL, status: int, headers: Sequence[tuple[str, str]]) -> Probe:
    """Healthy if a HEAD of `uri` is answered with `status`, redirects followed."""

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
    """Healthy if a TCP connection can be made."""

    async def probe() -> None:
        _, writer = await asyncio.open_connection(host, port)
        writer.close()

    return probe


def gets_locks(try_locks: Callable[[float], bool]) -> Callable[[], None]:
    """Healthy as long as a writer would get the locks of the storage soon. Blocks."""
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
    """Whether this process should be sent requests."""

    def __init__(self, health: Health, write: Probe | None, locks: Probe | None = None) -> None:
        """`write` tries the storage, `locks` its locks; None if nothing is to be written."""
        self.draining = False
        self._health = health
        self._write = _Remembered("the storage cannot be written", write)
        self._locks = _Remembered("the storage is locked", locks)

    async def obstacles(self) -> list[str]:
        """Why not; what anybody may know of it."""
        found = ["draining"] if self.draining else []
        found += [f"health check {kind} fails" for kind in self._health.failing_kinds]
        if await self._write.reason() is not None:
            found.append("the storage cannot be written")  # the reason names paths
        if (reason := await self._locks.reason()) is not None:
            found.append(reason)
        return found


class _Remembered:
    """A probe that anybody may cause, and which costs the disk something."""

    _SECONDS = 1.0
    """For which one answer speaks for all who ask."""
    _DEADLINE = 5.0

    def __init__(self, what: str, probe: Probe | None) -> None:
        self._what = what
        self._probe = probe
        self._asked_at = -self._SECONDS
        self._reason: str | None = None
        self._asking = asyncio.Lock()

    async def reason(self) -> str | None:
        """Return the fault, None if there is none."""
        if self._probe is None:
            return None
        async with self._asking:
            if time.monotonic() - self._asked_at >= self._SECONDS:
                before, self._reason = self._reason, await ask(self._probe, self._DEADLINE)
                self._asked_at = time.monotonic()
                if self._reason is not None and before is None:
                    log.error(self._what, reason=self._reason)
            return self._reason
