"""Users with valid passwords, and an attacker: `python -m bench.attack PORT KIND` guesses for ten seconds."""

import asyncio
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from tests.auth.credentials import basic
from tests.processes import Server
from tests.workers.workers import seconds_of_bcrypt

USERS = {f"user{number}": f"password of user {number}" for number in range(4)}
VALID = [basic(user, password) for user, password in USERS.items()]
MANIFEST = "/v2/app/manifests/1"
_SECONDS = 10


async def valid_users(server: Server) -> float:
    """Return the p99 in milliseconds: four users, each with a connection and 50 requests a second, for ten seconds."""
    samples: list[float] = []

    async def one(headers: dict[str, str]) -> None:
        async with connected(server.port) as connection:
            end = time.monotonic() + _SECONDS
            while time.monotonic() < end:
                begin = time.perf_counter()
                status = await connection.get(MANIFEST, headers)
                samples.append((time.perf_counter() - begin) * 1_000)
                assert status == 200, status
                await asyncio.sleep(0.02)

    await asyncio.gather(*(one(headers) for headers in VALID))
    return statistics.quantiles(samples, n=100)[98]


async def attacked(server: Server, kind: str) -> tuple[float, float, str]:
    """Return the p99 of valid users in ms, the cores that bcrypt used, and the attacker's responses."""
    command = [sys.executable, "-m", "bench.attack", str(server.port), kind]
    before, begin = seconds_of_bcrypt(server), time.monotonic()
    attacker = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    p99 = await valid_users(server)
    used = (seconds_of_bcrypt(server) - before) / (time.monotonic() - begin)
    output, _ = await attacker.communicate()
    return p99, used, output.decode().strip()


async def guesses(server: Server, count: int) -> dict[str, list[float]]:
    """Return milliseconds of so many responses, to a wrong password of `user0` and to an unknown user `unknown`."""
    samples: dict[str, list[float]] = {"user0": [], "unknown": []}
    for number in range(count):
        # Each pair from a new address, in both orders: the throttle allows ten at once for a user.
        source = f"127.2.{number // 250}.{number % 250 + 1}"
        async with connected(server.port, source) as connection:
            for user in sorted(samples, reverse=bool(number % 2)):
                begin = time.perf_counter()
                assert await connection.get("/v2/", basic(user, f"guess {number}")) == 401
                samples[user].append((time.perf_counter() - begin) * 1_000)
    return samples


async def attack(port: int, kind: str) -> None:
    """Send 200 wrong logins a second for ten seconds, half of them for valid users, each on a new connection.

    `kind` is the number of addresses, or "none": without a password, to measure the cost of connections alone.
    """
    addresses = 1 if kind == "none" else int(kind)
    answers: Counter[int] = Counter()
    begin = time.monotonic()

    async def one(number: int) -> None:
        user = f"user{number % 4}" if number % 2 else f"unknown{number}"
        try:
            async with asyncio.timeout(8), connected(port, f"127.1.0.{number % addresses + 1}") as connection:
                guess = {} if kind == "none" else basic(user, f"guess {number} {begin}")
                answers[await connection.get("/v2/", guess)] += 1
        except TimeoutError:
            answers[0] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(200 * _SECONDS):
            group.create_task(one(number))
            await asyncio.sleep(max(0.0, begin + (number + 1) / 200 - time.monotonic()))
    print(", ".join(f"{count} x {status or 'late'}" for status, count in sorted(answers.items())))


class Connection:
    """A connection for sequential requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def get(self, path: str, headers: dict[str, str]) -> int:
        """Send a GET; return the status after the whole response."""
        return await self.ask("GET", path, headers)

    async def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> int:
        """Send a request, but no HEAD; return the status after the whole response."""
        fields = {**headers, "Content-Length": str(len(body))} if body or method != "GET" else headers
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", answer)
        await self._reader.readexactly(int(length[1]) if length else 0)
        return int(answer.split(maxsplit=2)[1])


@asynccontextmanager
async def connected(port: int, source: str = "127.0.0.1") -> AsyncIterator[Connection]:
    """Connect from this address."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()


def main(arguments: Sequence[str]) -> None:
    """Run the attack of the arguments."""
    asyncio.run(attack(int(arguments[0]), arguments[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
