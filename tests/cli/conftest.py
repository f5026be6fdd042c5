"""A data directory in memory."""

import pytest

pytest.register_assert_rewrite("tests.storage.pushing", "tests.fsck.trees", "tests.cli.running")

from tests.storage.conftest import root  # noqa: E402 - after its asserts are registered

__all__ = ["root"]
