"""One hostile caller against others: `make bench ARGS="--only hostile"`. The attacks are in `bench.attacks`.

The others send 200 requests a second for blobs of 4 KiB and 1 MiB and a cached manifest. Their p99 is measured for some
seconds without and with an attack, interleaved on the same server.
"""

import asyncio
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bench.attack import connected
from bench.attacks import CASES, Case
from bench.loads import LoadError, put_image
from bench.results import Figures, Target
from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.engine.images import OCI_MANIFEST, Image, digest_of, oci_image
from tests.processes import SOURCE_TREE, Server, data_directory, pyregistry_server

T = TypeVar("T")

KEYS = {case.key: case.title for case in CASES}
WITH_IT, QUIET = "with it", "quiet"
_SECONDS = 6.0
_CALLERS, _PAUSE = 4, 0.02
_LATE = 30.0
"""Seconds of a timeout; a response that takes longer counts as this."""
_NEWCOMERS = 400
_ALICE = basic("alice", "alice's")
_RULES = [
    {"repositories": ["mallory/**", "r*"], "who": "mallory", "actions": ["pull", "push"]},
    {"repositories": "**", "who": ["alice", *(f"new{number}" for number in range(_NEWCOMERS))], "actions": "pull"},
    {"repositories": "**", "who": "admin", "actions": ["pull", "push", "delete"]},
]
_SLOW_FLUSH = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
static int slow(const char *name, int handle) {
    int (*call)(int) = (int (*)(int)) dlsym(RTLD_NEXT, name);
    usleep(50000);
    return call(handle);
}
int fsync(int handle) { return slow("fsync", handle); }
int fdatasync(int handle) { return slow("fdatasync", handle); }
"""


def measure(case: Case, directory: Path, rounds: int | None) -> list[Figures]:
    """Measure one attack."""
    begin, p99s = time.monotonic(), {WITH_IT: list[float](), QUIET: list[float]()}
    with _served(case, directory) as (server, image):
        newcomers = itertools.count()
        for _ in range(rounds or 3):
            for name in (QUIET, WITH_IT):
                with _attacked(case, server) if name is WITH_IT else _nothing():
                    p99s[name].append(asyncio.run(_p99(case, server, image, newcomers)))
    figures = Figures(case.key, case.title, "ms", False, Target("≤", 2), p99s, ours=WITH_IT, reference=QUIET)
    figures.seconds = round(time.monotonic() - begin, 1)
    return [figures]


PARTS = {partial(measure, case): [case.key] for case in CASES}


@contextmanager
def _served(case: Case, directory: Path) -> Iterator[tuple[Server, Image]]:
    with tempfile.TemporaryDirectory(dir=directory) as name:
        own = Path(name)
        users = {f"new{number}": f"new{number}'s" for number in range(_NEWCOMERS)}
        write_htpasswd(own / "htpasswd", {**{who: f"{who}'s" for who in ("alice", "mallory", "eve", "admin")}, **users})
        server = pyregistry_server(
            own,
            auth=auth_section(own / "htpasswd"),
            http={"draintimeout": "1s"},
            log={"level": "error"},
            pyregistry={"workers": 2, "access": _RULES},
        )
        if case.slow_flush:
            server.env["LD_PRELOAD"] = str(_build(own))
        with server:
            image = oci_image([4 * 1024, 1024 * 1024])
            put_image(server, "app", "v1", image, basic("admin", "admin's"))
            case.prepare(server, data_directory(own))
            yield server, image


def _build(directory: Path) -> Path:
    source, library = directory / "slow.c", directory / "slow.so"
    source.write_text(_SLOW_FLUSH)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _attacked(case: Case, server: Server) -> Iterator[None]:
    # A real attacker uses its own machine. Without `nice` the p99 was that of this machine's scheduler: six times the
    # quiet one during requests of 12 clients that got immediate responses.
    command = ["nice", "-n", "19", sys.executable, "-m", "bench.attacks"]
    command += [str(server.port), str(data_directory(server.directory)), case.key]
    attacker = subprocess.Popen(command, cwd=SOURCE_TREE)
    try:
        time.sleep(2)  # until it is at full speed
        if attacker.poll() is not None:
            raise LoadError(f"the attack {case.key} ended by itself")
        yield
    finally:
        attacker.terminate()
        attacker.wait()
        time.sleep(1)  # until its requests are done


async def _p99(case: Case, server: Server, image: Image, newcomers: Iterator[int]) -> float:
    samples: list[float] = []
    ask = {"pulls": _pull, "connections": _connect, "logins": _log_in}[case.victims]
    await asyncio.gather(*(ask(server, image, samples, newcomers) for _ in range(_CALLERS)))
    return statistics.quantiles(samples, n=100, method="inclusive")[98]


async def _pull(server: Server, image: Image, samples: list[float], _: Iterator[int]) -> None:
    requests = [
        *((f"/v2/app/blobs/{digest_of(layer)}", _ALICE) for layer in image.layers),
        ("/v2/app/manifests/v1", {**_ALICE, "Accept": OCI_MANIFEST}),
    ]
    async with connected(server.port) as connection:
        for path, headers in _for_a_while(itertools.cycle(requests)):
            await _sample(samples, connection.get(path, headers))


async def _connect(server: Server, _: Image, samples: list[float], __: Iterator[int]) -> None:
    for number in _for_a_while(itertools.count()):
        await _sample(samples, _on_new_connection(server, f"127.5.0.{number % 200 + 1}", _ALICE))


async def _log_in(server: Server, _: Image, samples: list[float], newcomers: Iterator[int]) -> None:
    for _number in _for_a_while(itertools.count()):
        user = f"new{next(newcomers) % _NEWCOMERS}"
        await _sample(samples, _on_new_connection(server, "127.6.0.1", basic(user, f"{user}'s")), 0.2)


async def _on_new_connection(server: Server, source: str, headers: Mapping[str, str]) -> int:
    async with connected(server.port, source) as connection:
        return await connection.get("/v2/app/manifests/v1", dict(headers))


def _for_a_while(items: Iterator[T]) -> Iterator[T]:
    end = time.monotonic() + _SECONDS
    for item in items:
        if time.monotonic() > end:
            return
        yield item


async def _sample(samples: list[float], asking: Coroutine[Any, Any, int], pause: float = _PAUSE) -> None:
    """Send a request, then pause; add samples in milliseconds. A rejected or missing response counts as _LATE.

    While one waits for a response, other requests are not sent. They would have waited for the rest of that time, so
    they count as well. Otherwise a response that hangs would be a single sample among a thousand quick ones.
    """
    begin = time.perf_counter()
    try:
        async with asyncio.timeout(_LATE):
            status = await asking
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        status = 0
    waited = time.perf_counter() - begin
    samples.append((waited if status == 200 else _LATE) * 1_000)
    while (waited := waited - pause) > 0:
        samples.append(waited * 1_000)
    await asyncio.sleep(pause)
