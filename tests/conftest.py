"""Fixtures of all tests: a detector of blocking calls on the event loop, and a server on a real socket."""

import asyncio
import gc
import io
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path

import msgspec
import pytest
import structlog
import yaml
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import AppKey, Application, BaseRunner, Request, StreamResponse
from blockbuster import blockbuster_ctx

from pyregistry.api.http.access_log import AccessLogger
from pyregistry.api.transport.limits import ConnectionLimits
from pyregistry.api.transport.runner_factory import make_runner
from pyregistry.config.load import parse
from pyregistry.config.schema import Config, Filesystem
from pyregistry.service.app import create_app
from pyregistry.service.wiring import connection_limits
from tests import measured_forks
from tests.modes import FAST_PATH

pytest_plugins = ["tests.parallel", "tests.slow", "tests.versions"]
pytest.register_assert_rewrite(
    "tests.storage.pushing", "tests.cli.running"
)  # before a folder whose own conftest does not

RegistryClient = TestClient
PREPARED = AppKey("prepared", list[str])
"""The paths of the answers that went through aiohttp's handlers, which cached ones do not."""
StartRegistry = Callable[..., Awaitable[TestClient]]  # type: ignore[type-arg] # its application


def pytest_configure() -> None:
    """Measure forks, under coverage."""
    measured_forks.measure()


def pytest_unconfigure() -> None:
    """Collect before `coverage run` saves, which in a single process is before the end of Python."""
    measured_forks.collect()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None]:
    """Import the tests without garbage collections, and leave what is imported out of all later ones."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True, scope="session")
def no_blocking_call() -> Iterator[None]:
    """A blocking call of ours on the event loop fails the request that makes it, and so the test.

    Once for all tests: its sixty functions take a millisecond to replace.
    """
    with blockbuster_ctx("pyregistry") as blockbuster:
        # The one exception, which that module explains: a `stat` for what was served before.
        blockbuster.functions["os.stat"].can_block_in("pyregistry/storage/repositories/cache.py", "_look")
        yield


@pytest.fixture(autouse=True, scope="session")
def _logs_to_logging() -> None:
    """Our lines go to the standard logging, where caplog sees them."""
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, structlog.processors.JSONRenderer(default=repr)],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


@pytest.fixture(autouse=True)
def logging_as_before(_logs_to_logging: None) -> Iterator[None]:
    """Restore what a command or a test set up for its logs: later tests of the process read their own with caplog."""
    root = logging.getLogger()
    before, config = (root.handlers[:], root.level), structlog.get_config()
    yield
    root.handlers[:], root.level = before
    structlog.configure(**config)


class RegistryServer(TestServer):
    """Serves with our own connection class, as production does."""

    def __init__(self, app: Application, limits: ConnectionLimits) -> None:
        super().__init__(app)
        self._limits = limits
        self.access_log = io.BytesIO()

    async def _make_runner(self, **kwargs: object) -> BaseRunner:
        kwargs.pop("access_log_class", None)
        return make_runner(
            self.app,
            fast_path=FAST_PATH,
            limits=self._limits,
            access_logger=AccessLogger(self.access_log),
            settle_seconds=0,  # no connection is on its way when a test ends
            handle_signals=False,
        )


@pytest.fixture
async def start_registry(tmp_path: Path) -> AsyncIterator[StartRegistry]:
    """Start a registry on `tmp_path/data`, its config being a working one merged with the arguments.

    `await start_registry(http={"prefix": "/x/"}, pyregistry={"sparse": True})` gives an aiohttp TestClient.
    """
    async with AsyncExitStack() as stack:

        async def start(environ: Mapping[str, str] | None = None, **sections: object) -> RegistryClient:  # type: ignore[type-arg] # its application
            data = str(tmp_path / "data")
            config = _read(data, environ or {}, sections) if environ or sections else _usual(data)
            app = await asyncio.to_thread(create_app, config)
            app[PREPARED] = []
            app.on_response_prepare.append(_note)
            client = TestClient(RegistryServer(app, connection_limits(config)), auto_decompress=False)
            return await stack.enter_async_context(client)

        yield start


def _read(data: str, environ: Mapping[str, str], sections: Mapping[str, object]) -> Config:
    document = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": data}, "delete": {"enabled": True}},
        **sections,
    }
    return parse(yaml.safe_dump(document), environ)[0]


def _usual(data: str) -> Config:
    """Return the config of most tests without reading its YAML again, which takes as long as the server's start."""
    read = _read_once()
    storage = msgspec.structs.replace(read.storage, filesystem=Filesystem(data))
    return msgspec.structs.replace(read, storage=storage)


@cache
def _read_once() -> Config:
    return _read("/data", {}, {})


async def _note(request: Request, _: StreamResponse) -> None:
    request.app[PREPARED].append(request.path)


@pytest.fixture
async def client(start_registry: StartRegistry) -> RegistryClient:  # type: ignore[type-arg] # its application
    """A registry with the default test config."""
    return await start_registry()
