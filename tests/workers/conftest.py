"""A registry in processes of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Server, pyregistry_server


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Four workers for tests that only use them; each takes repositories of its own."""
    with pyregistry_server(tmp_path_factory.mktemp("shared"), pyregistry={"workers": 4}) as running:
        yield running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Four workers, ready to answer."""
    with pyregistry_server(tmp_path, pyregistry={"workers": 4}) as running:
        yield running
