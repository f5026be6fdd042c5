"""The two ways of serving that the tests run in: PYREGISTRY_TEST_FAST_PATH=0 asks for the ordinary one."""

import os

import pytest

FAST_PATH = os.environ.get("PYREGISTRY_TEST_FAST_PATH", "1") != "0"


def fast_path_only(reason: str) -> pytest.MarkDecorator:
    """Mark a test that is about the fast path itself."""
    return pytest.mark.skipif(not FAST_PATH, reason=f"of the fast path: {reason}")
