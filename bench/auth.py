"""What logins cost: `python -m bench.auth [rate] [push] [flood] [timing]`, on this machine, against servers of its own.

- rate: manifest GETs a second (wrk, one worker) with a valid credential at bcrypt cost 5, 10 and 12, against none.
- push: `docker push` of an image that is there already, at cost 12 against no password.
- flood: 200 wrong logins a second for ten seconds; p99 of valid users before and during it; processor time of bcrypt.
- timing: 500 answers to an unknown user against 500 to a wrong password, each pair from an address of its own.

Runs are interleaved, so that whatever else the machine does concerns all sides.
"""

import asyncio
import os
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from bench.loads import gets
from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.engine.engine import Daemon, Engine
from tests.processes import Server, pyregistry_server
from tests.workers.http import ask
from tests.workers.workers import seconds_of_bcrypt, workers_of

USERS = {f"user{number}": f"password of user {number}" for number in range(4)}
VALID = [basic(user, password) for user, password in USERS.items()]
MANIFEST = "/v2/app/manifests/1"
CONTENT = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
ROUNDS = 7


@contextmanager
def served(cost: int | None, workers: int) -> Iterator[Server]:
    """A registry with one manifest; without a cost it asks for no password."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        extra: dict[str, Any] = {
            "pyregistry": {"workers": workers},
            "log": {"level": "error"},
            "http": {"draintimeout": "12s"},
        }
        if cost is not None:
            write_htpasswd(directory / "htpasswd", USERS, cost)
            extra["auth"] = auth_section(directory / "htpasswd")
        with pyregistry_server(directory, **extra) as server:
            kind = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
            assert ask(server, "PUT", MANIFEST, CONTENT, {**VALID[0], **kind}).status == 201
            yield server


def rate() -> None:
    costs: list[int | None] = [None, 5, 10, 12]
    rates: dict[int | None, list[float]] = {cost: [] for cost in costs}
    works: dict[int | None, list[float]] = {cost: [] for cost in costs}
    with ExitStack() as stack:
        servers = {cost: stack.enter_context(served(cost, 1)) for cost in costs}
        for number in range(ROUNDS):
            for cost in costs[number % 4 :] + costs[: number % 4]:
                before = seconds_of_work(servers[cost])
                done = gets(servers[cost].url + MANIFEST, 8, threads=1, headers=VALID[0])
                works[cost].append((seconds_of_work(servers[cost]) - before) / done.count * 1e6)
                rates[cost].append(done.per_second)
    for cost in costs:
        ratio = statistics.median(mine / none for mine, none in zip(rates[cost], rates[None], strict=True))
        name = "no auth" if cost is None else f"cost {cost}"
        work = statistics.median(none / mine for mine, none in zip(works[cost], works[None], strict=True))
        print(
            f"rate    {name:8} {statistics.median(rates[cost]):6.0f} requests/s, {ratio:.3f} of no auth;"
            f" {statistics.median(works[cost]):.0f} µs of processor time each, {work:.3f} of no auth"
        )


def push() -> None:
    """A `docker push` of what is there already, at cost 12 and without a password, in turn."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        (directory := Path(name) / "engine").mkdir()
        daemon = stack.enter_context(Daemon(directory))
        stack.callback(daemon.remove)
        engine = Engine(daemon)
        (context := Path(name) / "context").mkdir()
        for number in range(8):
            (context / f"file{number}").write_bytes(os.urandom(100_000))
        user, password = next(iter(USERS.items()))
        names = {}
        for cost in (None, 12):
            server = stack.enter_context(served(cost, 2))
            if cost is not None:
                engine.run("login", "--username", user, "--password-stdin", server.host, input=password.encode())
            names[cost] = f"{server.host}/app:1"
            if cost is None:
                engine.build(names[cost], context)
            else:
                engine.run("tag", names[None], names[cost])
            engine.run("push", names[cost])
        times: dict[int | None, list[float]] = {cost: [] for cost in names}
        for _ in range(ROUNDS * 3):
            for cost, image in names.items():
                begin = time.monotonic()
                engine.run("push", image)
                times[cost].append(time.monotonic() - begin)
        ratio = statistics.median(mine / none for mine, none in zip(times[12], times[None], strict=True))
        seconds = {cost: statistics.median(taken) for cost, taken in times.items()}
        print(f"push    no auth {seconds[None]:.3f} s, cost 12 {seconds[12]:.3f} s, {ratio:.3f} of no auth")


def seconds_of_work(server: Server) -> float:
    """Processor time of the workers, which the other programs of a busy machine do not change."""
    ticks = 0
    for pid in workers_of(server):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def flood() -> None:
    for cost in (10, 12):
        with served(cost, min(4, len(os.sched_getaffinity(0)))) as server:
            asyncio.run(_flood(server, cost))


async def _flood(server: Server, cost: int) -> None:
    for headers in VALID * 20:  # every worker knows them
        await asyncio.to_thread(ask, server, "GET", "/v2/", headers=headers)
    quiet: list[float] = []
    floods: dict[str, list[tuple[float, float, str]]] = {"none": [], "1": [], "200": []}
    for _ in range(3):
        quiet.append(_p99(await _valid_users(server, 10)))
        for kind, samples in floods.items():
            samples.append(await _attacked(server, kind))
    print(f"flood   cost {cost}: p99 {_list(quiet)} ms when it is quiet, median {statistics.median(quiet):.1f}")
    for kind, samples in floods.items():
        p99s, cores = [p99 for p99, _, _ in samples], [used for _, used, _ in samples]
        name = "requests without a password" if kind == "none" else f"wrong logins from {kind} addresses"
        print(
            f"flood   cost {cost}: p99 {_list(p99s)} ms in 200 {name} a second, {samples[-1][2]};"
            f" {statistics.median(p99s) / statistics.median(quiet):.2f} times; bcrypt {max(cores):.2f} cores"
        )


def _list(values: Sequence[float]) -> str:
    return " ".join(f"{value:.1f}" for value in values)


async def _attacked(server: Server, kind: str) -> tuple[float, float, str]:
    """p99 of valid users in ms, cores that bcrypt took, and what the attacker got."""
    command = [sys.executable, "-m", "bench.auth", "--attack", str(server.port), kind]
    before, begin = seconds_of_bcrypt(server), time.monotonic()
    attacker = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    p99 = _p99(await _valid_users(server, 10))
    used = (seconds_of_bcrypt(server) - before) / (time.monotonic() - begin)
    output, _ = await attacker.communicate()
    return p99, used, output.decode().strip()


def _p99(samples: Sequence[float]) -> float:
    return statistics.quantiles(samples, n=100)[98]


async def _valid_users(server: Server, seconds: float) -> list[float]:
    """Milliseconds of each request: four users on connections of their own, 50 requests a second each."""
    samples: list[float] = []

    async def one(headers: dict[str, str]) -> None:
        async with _connected(server.port) as connection:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                begin = time.perf_counter()
                status = await connection.get(MANIFEST, headers)
                samples.append((time.perf_counter() - begin) * 1_000)
                assert status == 200, status
                await asyncio.sleep(0.02)

    await asyncio.gather(*(one(headers) for headers in VALID))
    return samples


async def attack(port: int, kind: str) -> None:
    """200 wrong logins a second for ten seconds, half of them for a valid user's name, each on a new connection.

    `kind` is the number of addresses, or "none": without a password, which shows what connections alone cost.
    """
    addresses = 1 if kind == "none" else int(kind)
    answers: Counter[int] = Counter()
    begin = time.monotonic()

    async def one(number: int) -> None:
        user = f"user{number % 4}" if number % 2 else f"nobody{number}"
        try:
            async with asyncio.timeout(8), _connected(port, f"127.1.0.{number % addresses + 1}") as connection:
                guess = {} if kind == "none" else basic(user, f"guess {number} {begin}")
                answers[await connection.get("/v2/", guess)] += 1
        except TimeoutError:
            answers[0] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(2_000):
            group.create_task(one(number))
            await asyncio.sleep(max(0.0, begin + (number + 1) / 200 - time.monotonic()))
    print(", ".join(f"{count} x {status or 'late'}" for status, count in sorted(answers.items())))


def timing() -> None:
    for cost in (5, 10):
        with served(cost, 1) as server:
            asyncio.run(_timing(server, cost))


async def _timing(server: Server, cost: int) -> None:
    samples: dict[str, list[float]] = {"user0": [], "nobody": []}
    for number in range(500):
        # Each pair from a new address, in both orders: the throttle allows ten at once for a user.
        source = f"127.2.{number // 250}.{number % 250 + 1}"
        async with _connected(server.port, source) as connection:
            for user in sorted(samples, reverse=bool(number % 2)):
                begin = time.perf_counter()
                assert await connection.get("/v2/", basic(user, f"guess {number}")) == 401
                samples[user].append((time.perf_counter() - begin) * 1_000)
    wrong, unknown = statistics.median(samples["user0"]), statistics.median(samples["nobody"])
    print(
        f"timing  cost {cost:2}: median {wrong:.3f} ms for a wrong password, {unknown:.3f} ms for an unknown user,"
        f" {100 * (unknown / wrong - 1):+.2f} %"
    )


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def get(self, path: str, headers: dict[str, str]) -> int:
        """The status, when all of the answer has come."""
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", answer)
        await self._reader.readexactly(int(length[1]) if length else 0)
        return int(answer.split(maxsplit=2)[1])


@asynccontextmanager
async def _connected(port: int, source: str = "127.0.0.1") -> AsyncIterator[_Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        yield _Connection(reader, writer)
    finally:
        writer.transport.abort()


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--attack"]:
        asyncio.run(attack(int(arguments[1]), arguments[2]))
        return
    parts = {"rate": rate, "push": push, "flood": flood, "timing": timing}
    for name in arguments or parts:
        parts[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
