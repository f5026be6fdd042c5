"""A server that is started and stopped again leaves nothing open."""

import asyncio
import os
import time
from pathlib import Path

from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.builders import digest_of
from tests.conftest import StartRegistry
from tests.raw import ask, connected

_CYCLES = 30
_WARM = 5
"""Cycles until all that is made once and kept is there."""


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path opens files of its own


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - the same


async def _cycle(start_registry: StartRegistry, password_file: Path) -> None:
    client = await start_registry(auth=auth_section(password_file))
    alice = basic("alice", "secret")
    content = b"content"
    path = f"/v2/app/blobs/uploads/?digest={digest_of(content)}"
    assert (await ask(client, "POST", path, alice, content)).status == 201
    assert (await ask(client, "GET", f"/v2/app/blobs/{digest_of(content)}", alice)).body == content
    assert (await ask(client, "GET", "/v2/", basic("alice", "wrong"))).status == 401
    async with connected(client) as unfinished:
        await unfinished.send(b"GET /v2/ HTTP/1.1\r\n")
        await client.close()


async def test_30_starts_and_stops_leave_no_file_and_no_thread_behind(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    password_file = tmp_path / "htpasswd"
    write_htpasswd(password_file, {"alice": "secret"})
    await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.05) for _ in range(64)))  # the loop's pool at its full size
    for _ in range(_WARM):
        await _cycle(start_registry, password_file)
    files, threads = _open_files(), _threads()
    for _ in range(_CYCLES - _WARM):
        await _cycle(start_registry, password_file)
    async with asyncio.timeout(10):
        while _open_files() > files or _threads() > threads:
            await asyncio.sleep(0.02)  # a thread that was told to stop needs a moment
