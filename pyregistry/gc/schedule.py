"""Garbage collection by the server itself: `pyregistry.gc.interval`.

Every worker checks whether a run is due, and the lock lets one of them do it. The time of the last run is on disk. So
neither the number of workers nor a restart changes the interval.
"""

import asyncio
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import msgspec
import structlog

from pyregistry.common.system_errors import in_words
from pyregistry.gc.collector import collect
from pyregistry.gc.types import EXIT_CODES, CollectorBusy, Failure, Options, Report
from pyregistry.storage.backend import Backend, Location, show_location
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.objects import Objects, PathNotFound
from pyregistry.threads.offload import in_thread

_CHECK_SECONDS = 60.0
"""Most seconds between two checks whether a run is due."""
_RETRY_SECONDS = 3600.0
"""Seconds from a failed run to the next try, unless the interval is shorter."""

log = structlog.get_logger("pyregistry.gc")


@dataclass(frozen=True, slots=True)
class Schedule:
    """The interval in seconds, and the options of a run."""

    interval: float
    options: Options


async def collect_regularly(backend: Backend, schedule: Schedule) -> None:
    """Run at intervals until cancelled, which also ends a run in progress."""
    objects = backend.objects
    failure: object = None
    while True:
        # Not all workers at the same moment; the second one finds that it is no longer due.
        await asyncio.sleep(min(_CHECK_SECONDS, schedule.interval) * random.uniform(0.5, 1))  # noqa: S311 - keeps no secret
        try:
            if await in_thread(_is_due, objects, schedule.interval):
                await _collect(backend, schedule.options)
                failure = None
        except CollectorBusy:
            continue
        except (Failure, OSError) as error:
            before, failure = failure, error.errno if isinstance(error, OSError) else str(error)
            if failure != before:  # on a read-only storage each check fails in the same way
                log.error("garbage collection failed", reason=in_words(error))
            await in_thread(_note_failure, objects, in_words(error))
        except Exception as error:
            log.exception("garbage collection failed")  # a bug must not prevent all later runs
            await in_thread(_note_failure, objects, repr(error))


def _is_due(objects: Objects, interval: float) -> bool:
    try:
        last_ns = objects.stat(layout.LAST_GC).modified_ns
    except PathNotFound:  # the first run is due one interval after the first start
        objects.write(layout.LAST_GC, b"", durable=False)
        return False
    now_ns, failed_ns = time.time_ns(), 0
    with suppress(PathNotFound):
        failed_ns = objects.stat(layout.LAST_GC_FAILURE).modified_ns
    return now_ns - last_ns >= interval * 1e9 and now_ns - failed_ns >= min(interval, _RETRY_SECONDS) * 1e9


def _note_failure(objects: Objects, reason: str) -> None:
    with suppress(OSError):  # on a read-only storage each worker tries at each check
        objects.write(layout.LAST_GC_FAILURE, reason.encode(errors="replace"), durable=False)


async def _collect(backend: Backend, options: Options) -> None:
    if backend.location.is_shared:
        report = await _collect_in_process(backend.location, options)
    else:  # another process cannot see it
        report = await in_thread(partial(collect, backend.objects, backend.coordinator, options))
    log.info("garbage collection", **{key: value for key, value in msgspec.to_builtins(report).items() if value})


async def _collect_in_process(location: Location, options: Options) -> Report:
    """Run `collect` in a process; raises its errors."""
    command = [sys.executable, "-m", "pyregistry.gc", show_location(location), msgspec.json.encode(options).decode()]
    process = await in_thread(_start, command)
    with ThreadPoolExecutor(1, "gc") as pool:  # not a thread that requests need
        waiting = asyncio.get_running_loop().run_in_executor(pool, process.communicate)
        try:
            output, reason = await asyncio.shield(waiting)
        except asyncio.CancelledError:
            process.kill()  # safe at any point: the next run finishes its work
            with suppress(Exception):
                await waiting
            raise
    if process.returncode == 0:
        return msgspec.json.decode(output, type=Report)
    if process.returncode < 0:
        raise Failure(f"ended by signal {-process.returncode}")
    raise _failure(process.returncode, reason)


def _start(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _failure(status: int, reason: bytes) -> Failure:
    kinds = {status: kind for kind, status in EXIT_CODES.items()}
    return kinds.get(status, Failure)(reason.decode(errors="replace").strip()[-1000:])
