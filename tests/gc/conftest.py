"""Drivers and registries on both backends, as for the storage."""

import pytest

pytest.register_assert_rewrite("tests.storage.pushing")

from tests.storage.conftest import driver, filesystem, registry, root  # noqa: E402 - after its asserts are registered


@pytest.fixture(params=[1, 3], ids=["alone", "shared"])
def processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process reads all, or others share even the smallest trees."""
    monkeypatch.setattr("pyregistry.gc.sharing.WORTH_SHARING", 0)
    monkeypatch.setattr("tests.gc.collecting.PROCESSES", request.param)


__all__ = ["driver", "filesystem", "registry", "root"]
