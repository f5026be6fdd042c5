"""Drivers and registries on both backends, as for the storage."""

from pathlib import Path

import pytest

from pyregistry.storage.local import volumes
from pyregistry.storage.local.filesystem import FilesystemDriver

pytest.register_assert_rewrite("tests.storage.pushing")

from tests.storage.conftest import driver, registry, root  # noqa: E402 - after its asserts are registered


@pytest.fixture
def filesystem(root: Path) -> FilesystemDriver:
    """A driver on `root`, which a server saw when it was empty."""
    driver = FilesystemDriver(root)
    volumes.note_mounted(driver)
    return driver


@pytest.fixture(params=[1, 3], ids=["alone", "shared"])
def processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process reads all, or others share even the smallest trees."""
    monkeypatch.setattr("pyregistry.gc.parallel.WORTH_FORKING_BLOBS", 0)
    monkeypatch.setattr("tests.gc.collecting.PROCESSES", request.param)


__all__ = ["driver", "filesystem", "registry", "root"]
