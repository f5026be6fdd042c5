"""A registry that asks who you are."""

from pathlib import Path

import pytest

from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.conftest import StartRegistry
from tests.push import Client

ALICE = basic("alice", "secret")


@pytest.fixture
async def guarded(start_registry: StartRegistry, tmp_path: Path) -> Client:
    """A registry with `auth.htpasswd`, which lets ALICE in."""
    path = tmp_path / "htpasswd"
    write_htpasswd(path, {"alice": "secret"})
    return await start_registry(auth=auth_section(path))
