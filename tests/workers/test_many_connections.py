"""A thousand clients that keep their connections, while others push."""

import asyncio
import os
import time
from pathlib import Path

import aiohttp

from tests.builders import OCI_MANIFEST, digest_of, image
from tests.processes import Server, pyregistry_server, wait_until
from tests.push import path_of
from tests.workers.http import ask, start_upload
from tests.workers.workers import peak_memory, workers_of

CONNECTIONS = 1_000
PUSHES = 64
ROUNDS = 10
WORKERS = 2
MEMORY = 200 * 1024 * 1024


def open_files(server: Server) -> int:
    """Descriptors of all workers."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in workers_of(server))


def files_of_idle_workers(server: Server) -> int:
    """`open_files`, when all workers have begun: the last one comes some time after the first has answered."""
    before, now = -1, 0
    while before != now or len(workers_of(server)) < WORKERS:
        time.sleep(2)
        before, now = now, open_files(server)
    return now


async def pull(session: aiohttp.ClientSession, path: str, expected: bytes) -> None:
    async with session.get(path) as response:
        assert (response.status, await response.read()) == (200, expected)


async def push(session: aiohttp.ClientSession, name: str) -> None:
    content = os.urandom(64 * 1024)
    async with session.post(f"/v2/{name}/blobs/uploads/") as response:
        assert response.status == 202
        location = path_of(response.headers["Location"])
    async with session.patch(location, data=content) as response:
        assert response.status == 202
    async with session.put(f"{location}?digest={digest_of(content)}") as response:
        assert response.status == 201


async def test_1000_connections_pull_while_64_push_without_an_error_or_a_leak(tmp_path: Path) -> None:
    limits = {"connections": 2 * CONNECTIONS, "connections-per-address": 2 * CONNECTIONS}
    with pyregistry_server(tmp_path, pyregistry={"workers": WORKERS, "limits": limits}) as server:
        pushed = image(b"layer")
        for blob in pushed.blobs:
            location = start_upload(server, "app")
            assert ask(server, "PUT", f"{location}?digest={digest_of(blob)}", blob).status == 201
        typed = {"Content-Type": OCI_MANIFEST}
        assert ask(server, "PUT", "/v2/app/manifests/v1", pushed.content, typed).status == 201
        pulled = [("/v2/app/manifests/v1", pushed.content), (f"/v2/app/blobs/{digest_of(b'layer')}", b"layer")]
        before = await asyncio.to_thread(files_of_idle_workers, server)
        pullers = aiohttp.ClientSession(server.url, connector=aiohttp.TCPConnector(limit=CONNECTIONS))
        pushers = aiohttp.ClientSession(server.url, connector=aiohttp.TCPConnector(limit=PUSHES))
        async with pullers, pushers:
            for _ in range(ROUNDS):
                await asyncio.gather(
                    *(pull(pullers, *pulled[number % 2]) for number in range(CONNECTIONS)),
                    *(push(pushers, f"new{number}") for number in range(PUSHES)),
                )
            assert all(peak_memory(pid) < MEMORY for pid in workers_of(server))
        await asyncio.to_thread(wait_until, lambda: open_files(server) <= before, "all descriptors are closed")
        assert not server.faults()
