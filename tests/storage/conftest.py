"""Drivers and registries on both backends; assertions in the contract suite explain themselves."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

pytest.register_assert_rewrite(
    *(f"tests.storage.contract_{part}" for part in ("appender", "local", "locks", "objects"))
)

from pyregistry.storage.local.driver import Driver  # noqa: E402 - imports the storage, not the suites
from pyregistry.storage.local.filesystem import FilesystemDriver  # noqa: E402 - the same
from pyregistry.storage.memory.driver import MemoryDriver  # noqa: E402 - the same
from pyregistry.storage.repositories.registry import Registry  # noqa: E402 - the same
from tests.storage.installations import INSTALLATIONS, Installation  # noqa: E402 - the same
from tests.storage.pushing import registry_on  # noqa: E402 - the same

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """An empty data directory, in memory where that is possible: most tests do not wait for a disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as directory:
        path = Path(directory) / "data"
        path.mkdir()
        yield path


@pytest.fixture
def filesystem(root: Path) -> FilesystemDriver:
    """A driver on `root`."""
    return FilesystemDriver(root)


@pytest.fixture(params=["filesystem", "memory"])
def driver(request: pytest.FixtureRequest) -> Driver:
    """Each driver in turn."""
    driver: Driver = request.getfixturevalue("filesystem") if request.param == "filesystem" else MemoryDriver()
    return driver


@pytest.fixture(params=INSTALLATIONS)
def installation(request: pytest.FixtureRequest, root: Path) -> Installation:
    """Each implementation of uploads in turn."""
    return INSTALLATIONS[str(request.param)](root)


@pytest.fixture
def registry(driver: Driver) -> Registry:
    """A registry with the default rules."""
    return registry_on(driver)
