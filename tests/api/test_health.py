"""Health checks: what fails, after how often, and what a client gets meanwhile."""

import asyncio
import errno
import os
import socket
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pyregistry.config.errors import ConfigError
from pyregistry.observe.health import ask as health_of
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from tests.auth.credentials import auth_section, write_htpasswd
from tests.builders import digest_of
from tests.conftest import StartRegistry
from tests.push import Client
from tests.raw import RawAnswer, ask, connected

_OFTEN = "50ms"
_EVERYTHING = [
    ("GET", "/"),
    ("GET", "/v2/"),
    ("HEAD", "/v2/"),
    ("GET", "/v2/_catalog"),
    ("GET", "/v2/app/manifests/latest"),
    ("POST", "/v2/app/blobs/uploads/"),
    ("DELETE", f"/v2/app/blobs/{digest_of(b'')}"),
    ("GET", "/nowhere"),
]


async def _until(client: Client, path: str, status: int, seconds: float = 10) -> RawAnswer:
    async with asyncio.timeout(seconds):
        while True:
            answer = await ask(client, "GET", path)
            if answer.status == status:
                return answer
            await asyncio.sleep(0.01)


async def test_while_the_file_is_there_every_request_is_503_and_afterwards_none(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    write_htpasswd(tmp_path / "htpasswd", {"alice": "secret"})
    down = tmp_path / "down"
    client = await start_registry(
        health={"file": [{"file": str(down), "interval": _OFTEN}]}, auth=auth_section(tmp_path / "htpasswd")
    )
    assert (await ask(client, "GET", "/v2/")).status == 401
    down.touch()
    await _until(client, "/v2/", 503)
    for method, path in _EVERYTHING:
        answer = await ask(client, method, path)
        assert answer.status == 503, (method, path)
        assert answer.headers["Retry-After"] == "5"
        if method != "HEAD":
            number = answer.headers["X-Request-ID"]
            entry = answer.assert_error(503, "UNAVAILABLE")
            assert entry["detail"] == f"health check failed: file (request {number})"
            assert "down" not in answer.body.decode()
    assert (await ask(client, "GET", "/livez")).status == 200
    detail = (await ask(client, "GET", "/readyz")).assert_error(503, "UNAVAILABLE")["detail"]
    assert detail.startswith("not ready: health check file fails (request ")
    down.unlink()
    await _until(client, "/v2/", 401)
    assert (await ask(client, "GET", "/readyz")).status == 200


async def test_a_registry_that_starts_while_the_file_is_there_is_unhealthy_at_once(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    (tmp_path / "down").touch()
    client = await start_registry(health={"file": [{"file": str(tmp_path / "down"), "interval": "1h"}]})
    await _until(client, "/v2/", 503, seconds=5)


class _Downstream:
    """A server that a check asks."""

    def __init__(self) -> None:
        self.status = 200
        self.planned: list[int] = []
        """Statuses of the next answers; after them it is `status`."""
        self.asked: list[web.BaseRequest] = []
        self.hangs = False

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        if self.hangs:
            await asyncio.sleep(60)
        if request.path == "/moved":
            return web.Response(status=302, headers={"Location": "/"})
        return web.Response(status=self.planned.pop(0) if self.planned else self.status)


@pytest.fixture
async def downstream() -> AsyncIterator[tuple[_Downstream, str]]:
    """It and its address."""
    served = _Downstream()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served.answer)
    server = TestServer(app, handler_cancellation=True)
    await server.start_server()
    yield served, f"http://127.0.0.1:{server.port}"
    await server.close()


def _http(uri: str, **more: object) -> dict[str, Any]:
    return {"http": [{"uri": uri, "interval": _OFTEN, **more}]}


async def test_only_so_many_failures_in_a_row_count(
    start_registry: StartRegistry, downstream: tuple[_Downstream, str]
) -> None:
    served, uri = downstream
    client = await start_registry(health=_http(uri, threshold=4, interval="100ms", timeout="10s"))
    served.planned = [500, 500, 500, 200, 500, 500, 500]
    begin = len(served.asked)
    seen = set()
    while len(served.asked) <= begin + 7:  # the one after the last, as it is asked when that one was counted
        seen.add((await ask(client, "GET", "/v2/")).status)
        await asyncio.sleep(0.005)
    assert seen == {200}
    begin, served.status = len(served.asked), 500
    await _until(client, "/v2/", 503)
    assert len(served.asked) >= begin + 4
    served.status = 200
    await _until(client, "/v2/", 200)


async def test_the_question_is_a_head_with_the_headers_of_the_config_and_follows_redirects(
    start_registry: StartRegistry, downstream: tuple[_Downstream, str]
) -> None:
    served, uri = downstream
    headers = {"X-Check": ["one", "two"]}
    client = await start_registry(health=_http(f"{uri}/moved", headers=headers, statuscode=204))
    await _until(client, "/v2/", 503)
    served.status = 204
    await _until(client, "/v2/", 200)
    first = served.asked[0]
    assert (first.method, first.path, first.headers.getall("X-Check")) == ("HEAD", "/moved", ["one", "two"])
    assert {request.path for request in served.asked} == {"/moved", "/"}


async def test_a_server_that_does_not_answer_in_time_is_a_failure_and_nobody_waits_for_it(
    start_registry: StartRegistry, downstream: tuple[_Downstream, str], caplog: pytest.LogCaptureFixture
) -> None:
    served, uri = downstream
    served.hangs = True
    secret = uri.replace("http://", "http://user:secret-word@") + "/?token=secret-word"
    client = await start_registry(health=_http(secret, timeout="100ms"))
    begun = time.monotonic()
    await _until(client, "/v2/", 503)
    assert time.monotonic() - begun < 5
    assert "no response within 0.1 s" in caplog.text
    assert "secret-word" not in caplog.text


async def test_a_port_that_accepts_is_healthy_and_one_that_refuses_is_not(start_registry: StartRegistry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        client = await start_registry(health={"tcp": [{"addr": address, "interval": _OFTEN}]})
        for _ in range(5):
            assert (await ask(client, "GET", "/v2/")).status == 200
            await asyncio.sleep(0.03)
    answer = await _until(client, "/v2/", 503)
    assert "health check failed: tcp" in answer.assert_error(503, "UNAVAILABLE")["detail"]


class _Storage(FilesystemDriver):
    """A real directory that can be made to fail or to hang."""

    failure: OSError | None = None
    hangs: threading.Event | None = None
    writes = 0

    def available_bytes(self, path: StoragePath = layout.REPOSITORIES) -> int:
        self._suffer()
        return super().available_bytes(path)

    def write(self, path: StoragePath, data: bytes, **how: bool) -> None:
        type(self).writes += 1
        self._suffer()
        super().write(path, data, **how)

    def _suffer(self) -> None:
        if _Storage.hangs is not None:
            _Storage.hangs.wait(60)
        if _Storage.failure is not None:
            raise _Storage.failure


@pytest.fixture
def start_on_bad_storage(start_registry: StartRegistry, monkeypatch: pytest.MonkeyPatch) -> StartRegistry:
    """As start_registry, on a storage that can be made to suffer."""
    monkeypatch.setattr("pyregistry.storage.backend.FilesystemDriver", _Storage)
    for name in ("failure", "hangs"):
        monkeypatch.setattr(_Storage, name, None)
    monkeypatch.setattr(_Storage, "writes", 0)
    return start_registry


_STORAGE = {"storagedriver": {"enabled": True, "interval": _OFTEN, "threshold": 3}}
_EIO = OSError(errno.EIO, os.strerror(errno.EIO), "/srv/secret")


async def test_a_storage_that_fails_is_unhealthy_until_it_works_again(start_on_bad_storage: StartRegistry) -> None:
    client = await start_on_bad_storage(health=_STORAGE)
    _Storage.failure = _EIO
    answer = await _until(client, "/v2/", 503)
    assert "health check failed: storagedriver" in answer.assert_error(503, "UNAVAILABLE")["detail"]
    _Storage.failure = None
    await _until(client, "/v2/", 200)


async def test_a_storage_that_hangs_is_unhealthy_and_the_process_lives(start_on_bad_storage: StartRegistry) -> None:
    client = await start_on_bad_storage(health=_STORAGE)
    released = threading.Event()
    _Storage.hangs = released
    try:
        threads = threading.active_count()
        await _until(client, "/v2/", 503)
        await asyncio.sleep(0.5)
        assert (await ask(client, "GET", "/livez")).status == 200
        assert threading.active_count() <= threads + 1
    finally:
        _Storage.hangs = None
        released.set()
    await _until(client, "/v2/", 200)


async def test_not_ready_while_the_storage_cannot_be_written_unless_it_need_not(
    start_on_bad_storage: StartRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = await start_on_bad_storage()
    filesystem = {"rootdirectory": str(tmp_path / "data")}
    read_only = await start_on_bad_storage(
        storage={"filesystem": filesystem, "maintenance": {"readonly": {"enabled": True}}}
    )
    assert (await ask(client, "GET", "/readyz")).json() == {"status": "ok"}
    _Storage.failure = _EIO
    answer = await _until(client, "/readyz", 503)
    assert "not ready: the storage cannot be written" in answer.assert_error(503, "UNAVAILABLE")["detail"]
    assert "Input/output error" in caplog.text
    assert (await ask(client, "GET", "/v2/")).status == 200
    assert (await ask(read_only, "GET", "/readyz")).status == 200
    _Storage.failure = None
    await _until(client, "/readyz", 200)


async def test_a_thousand_questions_write_once_a_second(start_on_bad_storage: StartRegistry) -> None:
    client = await start_on_bad_storage()
    begun, before = time.monotonic(), _Storage.writes
    async with connected(client) as connection:
        for _ in range(1_000):
            assert (await connection.request("GET", "/readyz")).status == 200
    tries = (_Storage.writes - before) / 2  # a file each for blobs and for repositories
    assert 1 <= tries <= time.monotonic() - begun + 2


async def test_the_questions_need_no_password_and_no_prefix_and_take_no_other_method(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    write_htpasswd(tmp_path / "htpasswd", {"alice": "secret"})
    client = await start_registry(auth=auth_section(tmp_path / "htpasswd"), http={"prefix": "/below/"})
    for path in ["/livez", "/readyz", "/"]:
        answer = await ask(client, "GET", path)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")
        assert (await ask(client, "POST", path)).status in {401, 405}
        assert (await ask(client, "HEAD", path)).status == 200
    assert (await ask(client, "GET", "/")).body == b""
    assert (await ask(client, "GET", "/below/v2/")).status == 401


_REFUSED = {
    "health.http[0].uri": {"http": [{"uri": "registry.test/v2/"}]},
    "health.http[1].uri": {"http": [{"uri": "http://x.test"}, {"uri": "ftp://x.test/"}]},
    "health.tcp[0].addr": {"tcp": [{"addr": "redis.test"}]},
    "health.tcp[1].addr": {"tcp": [{"addr": "redis.test:1"}, {"addr": "redis.test:70000"}]},
    "health.file": {"file": [{"interval": "1s"}]},
    "health.storagedriver.interval": {"storagedriver": {"enabled": True, "interval": "soon"}},
}


@pytest.mark.parametrize(("key", "section"), _REFUSED.items(), ids=_REFUSED)
async def test_a_check_that_makes_no_sense_is_refused_with_its_key(
    start_registry: StartRegistry, key: str, section: dict[str, object]
) -> None:
    with pytest.raises(ConfigError) as refused:
        await start_registry(health=section)
    assert key in str(refused.value)


async def test_a_probe_that_fails_in_another_way_is_unhealthy_and_tells_no_secret() -> None:
    async def probe() -> None:
        raise ValueError("Bearer secret")

    assert await health_of(probe, 1) == "ValueError"
