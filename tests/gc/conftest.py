"""Drivers and registries on both backends, as for the storage."""

import pytest

pytest.register_assert_rewrite("tests.storage.pushing")

from tests.storage.conftest import driver, filesystem, registry, root  # noqa: E402 - after its asserts are registered

__all__ = ["driver", "filesystem", "registry", "root"]
