"""Tokens where several processes serve: who checks one is seldom who made it."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.auth.credentials import auth_section, write_htpasswd
from tests.auth.rules import ACCESS, CI, GUEST, PASSWORDS, bearer
from tests.processes import Server, pyregistry_server
from tests.push import path_of
from tests.workers.http import ask

_SCOPE = "scope=repository:ci/app:pull,push"


@pytest.fixture
def ruled(tmp_path: Path) -> Iterator[Server]:
    """Four workers and the rules of docs/users-and-access.md."""
    write_htpasswd(tmp_path / "htpasswd", PASSWORDS)
    own = {"workers": 4, "access": [*ACCESS, {"repositories": "ci/**", "who": "guest", "actions": ["pull", "push"]}]}
    with pyregistry_server(tmp_path, auth=auth_section(tmp_path / "htpasswd"), pyregistry=own) as server:
        yield server


def token(server: Server) -> str:
    answer = ask(server, "GET", f"/auth/token?{_SCOPE}", headers=CI)
    assert answer.status == 200
    made: str = json.loads(answer.body)["token"]
    return made


def key_ids(server: Server) -> list[str]:
    keys = json.loads((server.directory / "data/.pyregistry/token-keys").read_text())
    return [key["id"] for key in keys]


def test_a_token_is_good_for_every_worker_and_after_a_restart(ruled: Server) -> None:
    with ThreadPoolExecutor(8) as threads:
        tokens = list(threads.map(lambda _: token(ruled), range(24)))
    assert len(key_ids(ruled)) == 1
    for made in tokens:
        assert {ask(ruled, "GET", "/v2/", headers=bearer(made)).status for _ in range(8)} == {200}
    before = key_ids(ruled)
    ruled.restart()
    assert ask(ruled, "POST", "/v2/ci/app/blobs/uploads/", headers=bearer(tokens[0])).status == 202
    assert key_ids(ruled) == before
    mode = (ruled.directory / "data/.pyregistry/token-keys").stat().st_mode
    assert mode & 0o777 == 0o600


def test_an_upload_is_its_owners_at_every_worker(ruled: Server) -> None:
    location = path_of(ask(ruled, "POST", "/v2/ci/app/blobs/uploads/", headers=CI).headers["Location"])
    assert {ask(ruled, "GET", location, headers=CI).status for _ in range(12)} == {204}
    assert {ask(ruled, "GET", location, headers=GUEST).status for _ in range(12)} == {404}
    made = bearer(token(ruled))
    for number in range(1, 6):
        answer = ask(ruled, "PATCH", location, b"more", made)
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{4 * number - 1}")
