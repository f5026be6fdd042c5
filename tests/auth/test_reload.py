"""The htpasswd file changes while the registry runs."""

import asyncio
import os
from pathlib import Path

import pytest

from pyregistry.app import create_app
from pyregistry.auth.htpasswd import POLL_SECONDS
from pyregistry.config.errors import ConfigError
from pyregistry.config.load import parse
from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.conftest import StartRegistry
from tests.push import Client
from tests.raw import ask

ALICE, BOB = basic("alice", "a secret"), basic("bob", "another")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyregistry.auth.htpasswd.POLL_SECONDS", 0.05)


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    """Alice and bob."""
    path = tmp_path / "htpasswd"
    write_htpasswd(path, {"alice": "a secret", "bob": "another"})
    return path


@pytest.fixture
async def guarded(start_registry: StartRegistry, password_file: Path) -> Client:
    """A registry that alice and bob know already, and that remembers them."""
    client = await start_registry(auth=auth_section(password_file))
    for headers in [ALICE, BOB]:
        assert await _status(client, headers) == 200
    return client


async def _status(client: Client, headers: dict[str, str]) -> int:
    return (await ask(client, "GET", "/v2/", headers)).status


async def _until(client: Client, headers: dict[str, str], status: int, seconds: float = 2) -> None:
    async with asyncio.timeout(seconds):
        while await _status(client, headers) != status:
            await asyncio.sleep(0.02)


async def test_a_removed_user_is_out_and_the_others_stay(guarded: Client, password_file: Path) -> None:
    write_htpasswd(password_file, {"alice": "a secret"})
    await _until(guarded, BOB, 401)
    assert await _status(guarded, ALICE) == 200


async def test_a_removed_user_is_out_within_two_seconds_at_the_real_pace(
    start_registry: StartRegistry, password_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyregistry.auth.htpasswd.POLL_SECONDS", POLL_SECONDS)
    client = await start_registry(auth=auth_section(password_file))
    assert await _status(client, BOB) == 200
    write_htpasswd(password_file, {"alice": "a secret"})
    await _until(client, BOB, 401, seconds=2)


async def test_an_added_user_gets_in(guarded: Client, password_file: Path) -> None:
    carol = basic("carol", "new")
    assert await _status(guarded, carol) == 401
    write_htpasswd(password_file, {"alice": "a secret", "carol": "new"})
    await _until(guarded, carol, 200)


async def test_a_changed_password_replaces_the_remembered_one(guarded: Client, password_file: Path) -> None:
    write_htpasswd(password_file, {"alice": "changed", "bob": "another"})
    await _until(guarded, ALICE, 401)
    assert await _status(guarded, basic("alice", "changed")) == 200
    assert await _status(guarded, BOB) == 200


@pytest.mark.parametrize(
    "content", [b"", b"garbage without a colon\n", b"mallory:plain\n", b"\xff\xfe\x00", None],
    ids=["empty", "garbage", "no bcrypt", "not text", "missing"],
)  # fmt: skip
async def test_a_file_that_became_bad_leaves_the_last_good_users_and_an_error_in_the_log(
    guarded: Client, password_file: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    if content is None:
        password_file.unlink()
    else:
        password_file.write_bytes(content)
    async with asyncio.timeout(2):
        while "the last good one stays in force" not in caplog.text:
            assert await _status(guarded, ALICE) == 200
            await asyncio.sleep(0.02)
    assert await _status(guarded, basic("mallory", "plain")) == 401
    write_htpasswd(password_file, {"alice": "a secret"})
    await _until(guarded, BOB, 401)
    assert await _status(guarded, ALICE) == 200


async def test_a_file_that_an_editor_writes_piece_by_piece_counts_when_it_rests(
    start_registry: StartRegistry,
    password_file: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pyregistry.auth.htpasswd.POLL_SECONDS", 0.2)
    client = await start_registry(auth=auth_section(password_file))
    content = password_file.read_bytes()
    with password_file.open("r+b") as file:
        file.truncate(0)
        for place in range(0, len(content), 4):
            file.write(content[place : place + 4])
            file.flush()
            assert await _status(client, BOB) == 200
            await asyncio.sleep(0.03)
    for _ in range(20):
        await asyncio.sleep(0.03)
        assert await _status(client, BOB) == 200
    assert "not usable" not in caplog.text


async def test_a_file_of_no_use_is_complained_about_once(
    guarded: Client, password_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password_file.write_bytes(b"mallory:plain\n")
    await asyncio.sleep(0.5)
    assert caplog.text.count("not usable") == 1
    assert caplog.text.count("mallory") == 1
    password_file.unlink()
    await asyncio.sleep(0.5)
    assert caplog.text.count("not usable") == 2
    assert caplog.text.count("No such file") == 1


async def test_a_removed_user_is_out_even_if_nobody_asked_since(guarded: Client, password_file: Path) -> None:
    write_htpasswd(password_file, {"alice": "a secret"})
    await asyncio.sleep(1)
    assert await _status(guarded, BOB) == 401


async def test_a_second_change_in_the_tick_of_the_clock_in_which_the_file_was_read_is_seen(
    start_registry: StartRegistry, password_file: Path
) -> None:
    write_htpasswd(password_file, {"alice": "a secret", "bob": "another"})
    client = await start_registry(auth=auth_section(password_file))
    before = password_file.stat()
    changed = password_file.with_suffix(".changed")
    write_htpasswd(changed, {"alice": "a secret", "bob": "changed"})
    password_file.write_bytes(changed.read_bytes())
    os.utime(password_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    await _until(client, BOB, 401)


async def test_a_file_behind_a_link_that_is_swapped_is_read_again(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    for number, users in enumerate([{"alice": "a secret", "bob": "another"}, {"alice": "a secret"}]):
        (tmp_path / f"..{number}").mkdir()
        write_htpasswd(tmp_path / f"..{number}" / "htpasswd", users)
    link = tmp_path / "..data"
    link.symlink_to("..0")
    client = await start_registry(auth=auth_section(tmp_path / "..data" / "htpasswd"))
    assert await _status(client, BOB) == 200
    beside = tmp_path / "..beside"
    beside.symlink_to("..1")
    beside.replace(link)
    await _until(client, BOB, 401)
    assert await _status(client, ALICE) == 200


async def test_a_change_of_the_same_size_and_time_is_seen_by_its_inode(guarded: Client, password_file: Path) -> None:
    before = password_file.stat()
    write_htpasswd(password_file, {"alice": "a secret", "bob": "changed"})
    os.utime(password_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert password_file.stat().st_size == before.st_size
    await _until(guarded, BOB, 401)


@pytest.mark.parametrize("content", [None, b"", b"mallory:plain\n"], ids=["missing", "empty", "no bcrypt"])
def test_a_registry_does_not_start_with_a_bad_file(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "htpasswd").write_bytes(content)
    text = f"{{version: 0.1, storage: inmemory, auth: {{htpasswd: {{realm: x, path: {tmp_path}/htpasswd}}}}}}"
    config, _ = parse(text, {})
    with pytest.raises(ConfigError):
        create_app(config)
    assert (tmp_path / "htpasswd").exists() == (content is not None)
