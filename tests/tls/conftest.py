"""Fixtures of the tests of TLS."""

import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from pyregistry.service.log import configure_logging
from tests.authority import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    directory = tmp_path / "ca"
    directory.mkdir()
    return Authority(directory)


@pytest.fixture
def pair(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("server")


@pytest.fixture
def logged() -> Iterator[Callable[[], str]]:
    """Returns what this process has logged since the last call."""
    root, stream, seen = logging.getLogger(), io.StringIO(), 0
    before, config = (root.handlers[:], root.level), structlog.get_config()
    configure_logging("info", "text", {}, stream=stream)

    def since() -> str:
        nonlocal seen
        text = stream.getvalue()[seen:]
        seen += len(text)
        return text

    yield since
    root.handlers[:], root.level = before
    structlog.configure(**config)
