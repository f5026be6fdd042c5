"""The cost of logins, on servers with different configs; `make bench ARGS="--only auth"`.

- rate: manifest GETs a second (wrk, one worker) with a valid credential at bcrypt cost 5, 10 and 12, against none.
- push: `docker push` of an existing image, at cost 12 against no password.
- flood: 200 wrong logins a second for ten seconds; p99 of valid users without and with it; processor time of bcrypt.
- timing: 500 responses to an unknown user against 500 to a wrong password, each pair from another address.

Runs are interleaved, so that other load on the machine affects all sides.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench.attack import MANIFEST, USERS, VALID, attacked, guesses, valid_users
from bench.loads import gets
from bench.results import Figures, Target
from bench.usage import work_of
from tests.auth.credentials import auth_section, write_htpasswd
from tests.engine.engine import Daemon, Engine
from tests.processes import Server, pyregistry_server
from tests.workers.http import ask

_CONTENT = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
_KINDS = {
    "none": "200 requests a second without a password",
    "1": "200 wrong logins a second from one address",
    "200": "200 wrong logins a second from 200 addresses",
}
_RATE_COSTS = (5, 10, 12)
_FLOOD_COSTS = (10, 12)
_TIMING_COSTS = (5, 10)
_SAMPLES = 500
_LAYERS = 8
KEYS = {
    **{f"auth-rate-{cost}": f"manifest GET with a login, bcrypt cost {cost}, one worker" for cost in _RATE_COSTS},
    **{f"auth-work-{cost}": f"processor time of it, bcrypt cost {cost}" for cost in _RATE_COSTS},
    "auth-push": "docker push of what is there, bcrypt cost 12",
    **{
        f"auth-flood-{cost}-{kind}": f"p99 of valid users during {said}, bcrypt cost {cost}"
        for cost in _FLOOD_COSTS
        for kind, said in _KINDS.items()
    },
    **{f"auth-bcrypt-{cost}": f"cores that bcrypt takes in that, cost {cost}" for cost in _FLOOD_COSTS},
    **{f"auth-timing-{cost}": f"refusal of an unknown user, bcrypt cost {cost}" for cost in _TIMING_COSTS},
}


@contextmanager
def served(directory: Path, cost: int | None, workers: int) -> Iterator[Server]:
    """Serve a registry with one manifest; without a cost it needs no password."""
    with tempfile.TemporaryDirectory(dir=directory) as name:
        own = Path(name)
        extra: dict[str, Any] = {
            "pyregistry": {"workers": workers},
            "log": {"level": "error"},
            "http": {"draintimeout": "12s"},
        }
        if cost is not None:
            write_htpasswd(own / "htpasswd", USERS, cost)
            extra["auth"] = auth_section(own / "htpasswd")
        with pyregistry_server(own, **extra) as server:
            kind = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
            assert ask(server, "PUT", MANIFEST, _CONTENT, {**VALID[0], **kind}).status == 201
            yield server


def rate(directory: Path, rounds: int) -> list[Figures]:
    """Measure requests a second, and processor time of each, which depends less on other load."""
    costs: list[int | None] = [None, *_RATE_COSTS]
    rates: dict[int | None, list[float]] = {cost: [] for cost in costs}
    works: dict[int | None, list[float]] = {cost: [] for cost in costs}
    with ExitStack() as stack:
        servers = {cost: stack.enter_context(served(directory, cost, 1)) for cost in costs}
        for number in range(rounds):
            first = number % len(costs)
            for cost in costs[first:] + costs[:first]:
                before = work_of(servers[cost].pid)
                done = gets(servers[cost].url + MANIFEST, 8, threads=1, seconds=2, headers=VALID[0])
                works[cost].append((work_of(servers[cost].pid) - before) / done.count * 1e6)
                rates[cost].append(done.per_second)
    figures = [
        _compared(f"auth-rate-{cost}", "requests/s", Target("≥", 0.9), rates[cost], {"no password": rates[None]})
        for cost in _RATE_COSTS
    ]
    figures += [
        _compared(f"auth-work-{cost}", "µs", None, works[cost], {"no password": works[None]}) for cost in _RATE_COSTS
    ]
    return figures


def push(directory: Path, rounds: int) -> list[Figures]:
    """Measure three pushes in each round."""
    costs = (None, 12)
    with tempfile.TemporaryDirectory(dir=directory) as name, ExitStack() as stack:
        (own := Path(name) / "engine").mkdir()
        daemon = stack.enter_context(Daemon(own))
        stack.callback(daemon.remove)
        engine = Engine(daemon)
        (context := Path(name) / "context").mkdir()
        for number in range(_LAYERS):
            (context / f"file{number}").write_bytes(os.urandom(100_000))
        engine.build("app:1", context)
        user, password = next(iter(USERS.items()))
        names = {}
        for cost in costs:
            server = stack.enter_context(served(directory, cost, 2))
            if cost is not None:
                engine.run("login", "--username", user, "--password-stdin", server.host, input=password.encode())
            names[cost] = f"{server.host}/app:1"
            engine.run("tag", "app:1", names[cost])
            engine.run("push", names[cost])
        times: dict[int | None, list[float]] = {cost: [] for cost in costs}
        for number in range(rounds * 3):
            for cost in costs if number % 2 else costs[::-1]:
                begin = time.monotonic()
                said = engine.run("push", names[cost])
                times[cost].append(time.monotonic() - begin)
                assert said.count("Layer already exists") == _LAYERS + 1, said  # and busybox
    return [_compared("auth-push", "s", Target("≤", 1.1), times[12], {"no password": times[None]})]


def flood(directory: Path, rounds: int) -> list[Figures]:
    """Measure floods in at most three rounds: each takes forty seconds for each cost."""
    figures: list[Figures] = []
    for cost in _FLOOD_COSTS:
        with served(directory, cost, min(4, len(os.sched_getaffinity(0)))) as server:
            figures += asyncio.run(_flood(server, cost, min(rounds, 3)))
    return figures


async def _flood(server: Server, cost: int, rounds: int) -> list[Figures]:
    for headers in VALID * 20:  # so that every worker has them in its cache
        await asyncio.to_thread(ask, server, "GET", "/v2/", headers=headers)
    quiet: list[float] = []
    p99s: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    cores: list[float] = []
    said: dict[str, str] = {}
    for number in range(rounds):
        order = ["quiet", *_KINDS]
        first = number % len(order)
        used = 0.0
        for kind in order[first:] + order[:first]:
            if kind == "quiet":
                quiet.append(await valid_users(server))
                continue
            p99, took, said[kind] = await attacked(server, kind)
            p99s[kind].append(p99)
            used = max(used, took)
        cores.append(used)
    figures = []
    for kind, found in p99s.items():
        target = Target("≤", 2) if kind != "none" else None
        figures.append(_compared(f"auth-flood-{cost}-{kind}", "ms", target, found, {"quiet": quiet}))
        figures[-1].title += f" (answers: {said[kind]})"
    bound = Target("≤", 1, absolute=True)
    return [*figures, _compared(f"auth-bcrypt-{cost}", "cores", bound, cores, {"quiet": []})]


def timing(directory: Path, _: int) -> list[Figures]:
    """Compare the medians of the samples."""
    figures = []
    for cost in _TIMING_COSTS:
        with served(directory, cost, 1) as server:
            samples = asyncio.run(guesses(server, _SAMPLES))
        unknown, wrong = median(samples["unknown"]), median(samples["user0"])
        target = Target("±", 0.03)
        figures.append(_compared(f"auth-timing-{cost}", "ms", target, [unknown], {"wrong password": [wrong]}))
        figures[-1].title += f", median of {_SAMPLES}"
    return figures


def _compared(
    key: str, unit: str, target: Target | None, ours: list[float], against: dict[str, list[float]]
) -> Figures:
    [reference] = against
    values = {"with it": ours, **{name: theirs for name, theirs in against.items() if theirs}}
    rated = target is not None and target.sign == "≥"
    return Figures(key, KEYS[key], unit, rated, target, values, ours="with it", reference=reference)


def _timed(part: Callable[[Path, int], list[Figures]]) -> Callable[[Path, int | None], list[Figures]]:
    def measure(directory: Path, rounds: int | None) -> list[Figures]:
        begin = time.monotonic()
        figures = part(directory, rounds or 5)
        for each in figures:
            each.seconds = round((time.monotonic() - begin) / len(figures), 1)
        return figures

    return measure


PARTS = {
    _timed(part): [key for key in KEYS if key.startswith(beginnings)]
    for part, beginnings in (
        (rate, ("auth-rate", "auth-work")),
        (push, ("auth-push",)),
        (flood, ("auth-flood", "auth-bcrypt")),
        (timing, ("auth-timing",)),
    )
}
