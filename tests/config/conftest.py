"""hypothesis without a deadline for one example: a busy machine is no fault of the code."""

import shutil
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.config.recipes import Place, write_certificates

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A directory with certificates, and what a client of that server uses."""
    directory = tmp_path_factory.mktemp("certs")
    return directory, write_certificates(directory)


@pytest.fixture
def place(certificates: tuple[Path, ssl.SSLContext]) -> Iterator[Place]:
    """A directory with a short name: the path of a socket has 107 bytes."""
    directory = Path(tempfile.mkdtemp(prefix="pyregistry-"))
    yield Place(directory, *certificates)
    shutil.rmtree(directory)
