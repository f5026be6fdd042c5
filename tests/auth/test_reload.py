"""The htpasswd file changes while the registry runs."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pyregistry.auth.access_file import MAX_FILE_BYTES
from pyregistry.common.reloaded_files import KEPT_CHECKS, POLL_SECONDS
from pyregistry.config.errors import ConfigError
from pyregistry.config.load import parse
from pyregistry.service.app import create_app
from tests import forked
from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.auth.rules import ADMIN, bearer, start_with_rules, token_for
from tests.conftest import StartRegistry
from tests.push import Client
from tests.raw import ask

ALICE, BOB = basic("alice", "a secret"), basic("bob", "another")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyregistry.common.reloaded_files.POLL_SECONDS", 0.05)


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
    monkeypatch.setattr("pyregistry.common.reloaded_files.POLL_SECONDS", POLL_SECONDS)
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
    "content", [b"", b"garbage without a colon\n", b"mallory:plain\n", b"\xff\xfe\x00"],
    ids=["empty", "garbage", "no bcrypt", "not text"],
)  # fmt: skip
async def test_a_file_that_can_be_read_is_in_force_also_without_users(
    guarded: Client, password_file: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    password_file.write_bytes(content)
    for headers in (ALICE, BOB):
        await _until(guarded, headers, 401)
    assert "htpasswd file has no user with a bcrypt password" in caplog.text
    assert await _status(guarded, basic("mallory", "plain")) == 401
    write_htpasswd(password_file, {"alice": "a secret"})
    await _until(guarded, ALICE, 200)
    assert await _status(guarded, BOB) == 401


@pytest.mark.parametrize("line", [b"stray\n", b"\xff:\n", b":\n", b"a:b:c\n", b"x" * 3_000 + b"\n"])
async def test_a_stray_line_does_not_keep_the_old_file_in_force(
    guarded: Client, password_file: Path, line: bytes
) -> None:
    write_htpasswd(password_file, {"alice": "a secret"})
    with password_file.open("ab") as file:
        file.write(line)
    await _until(guarded, BOB, 401)
    assert await _status(guarded, ALICE) == 200


async def test_the_last_user_is_removed_by_the_command(guarded: Client, password_file: Path) -> None:
    for user in ("alice", "bob"):
        await asyncio.to_thread(_htpasswd, "-D", str(password_file), user)
    assert password_file.read_bytes() == b""
    for headers in (ALICE, BOB):
        await _until(guarded, headers, 401)


def _htpasswd(*arguments: str) -> None:
    forked.run([sys.executable, "-m", "pyregistry", "htpasswd", *arguments], check=True)


def _remove(path: Path) -> None:
    path.unlink()


def _let_all_users_write(path: Path) -> None:
    path.chmod(0o666)


def _replace_by_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _replace_by_a_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _make_too_large(path: Path) -> None:
    path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))


def _replace_by_what_hangs(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


UNUSABLE: dict[str, Callable[[Path], None]] = {
    "missing": _remove,
    "all users may write": _let_all_users_write,
    "a directory": _replace_by_a_directory,
    "a dangling link": _replace_by_a_dangling_link,
    "too large": _make_too_large,
    "a look that never returns": _replace_by_what_hangs,
}


@pytest.mark.parametrize("make_unusable", UNUSABLE.values(), ids=UNUSABLE)
async def test_an_unusable_file_keeps_the_last_users_for_a_minute_and_then_lets_in_no_one(
    guarded: Client,
    password_file: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    make_unusable: Callable[[Path], None],
) -> None:
    monkeypatch.setattr("pyregistry.common.reloaded_files.KEPT_CHECKS", 20)
    make_unusable(password_file)
    async with asyncio.timeout(20):
        while (status := await _status(guarded, ALICE)) == 200:
            await asyncio.sleep(0.02)
    assert status == 401
    assert "htpasswd file not usable for a minute: every login is refused" in caplog.text
    assert await _status(guarded, BOB) == 401
    await asyncio.to_thread(_put_back, password_file)
    await _until(guarded, ALICE, 200, seconds=20)
    assert await _status(guarded, BOB) == 401


def _put_back(path: Path) -> None:
    """A file for alice alone."""
    path.rename(path.with_suffix(".before")) if path.exists() else path.unlink(missing_ok=True)
    write_htpasswd(path, {"alice": "a secret"})


async def test_a_file_that_comes_back_in_time_changes_nothing(
    guarded: Client, password_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    temporary = password_file.with_suffix(".beside")
    password_file.rename(temporary)
    async with asyncio.timeout(5):
        while "the last valid content stays active for up to a minute" not in caplog.text:
            assert await _status(guarded, BOB) == 200
            await asyncio.sleep(0.02)
    temporary.rename(password_file)
    for _ in range(20):
        assert (await _status(guarded, ALICE), await _status(guarded, BOB)) == (200, 200)
        await asyncio.sleep(0.02)
    assert "for a minute:" not in caplog.text


def test_a_minute_is_no_longer_than_a_minute() -> None:
    assert 50 < KEPT_CHECKS * POLL_SECONDS <= 58


async def test_a_token_of_a_user_ends_with_the_file_of_passwords(
    start_registry: StartRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyregistry.common.reloaded_files.KEPT_CHECKS", 5)
    client = await start_with_rules(start_registry, tmp_path)
    token = bearer(await token_for(client, ADMIN, ["repository:app:pull"]))
    tags = "/v2/app/tags/list"
    assert (await ask(client, "GET", tags, token)).status == 404
    (tmp_path / "htpasswd").unlink()
    async with asyncio.timeout(10):
        while (await ask(client, "GET", tags, token)).status != 401:
            await asyncio.sleep(0.02)


async def test_a_file_that_an_editor_writes_piece_by_piece_counts_when_it_rests(
    start_registry: StartRegistry,
    password_file: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pyregistry.common.reloaded_files.POLL_SECONDS", 0.2)
    monkeypatch.setattr("pyregistry.common.reloaded_files.UNSTABLE_CHECKS", 1_000)
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


async def test_what_is_wrong_with_a_file_is_said_once(
    guarded: Client, password_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password_file.write_bytes(b"mallory:plain\n")
    await _until(guarded, ALICE, 401)
    await asyncio.sleep(0.5)
    assert caplog.text.count("htpasswd file has no user") == 1
    assert caplog.text.count("mallory") == 1
    password_file.unlink()
    await asyncio.sleep(0.5)
    assert caplog.text.count("not usable") == 1
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
    temporary = tmp_path / "..beside"
    temporary.symlink_to("..1")
    temporary.replace(link)
    await _until(client, BOB, 401)
    assert await _status(client, ALICE) == 200


async def test_a_change_of_the_same_size_and_time_is_seen_by_its_inode(guarded: Client, password_file: Path) -> None:
    before = password_file.stat()
    write_htpasswd(password_file, {"alice": "a secret", "bob": "changed"})
    os.utime(password_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert password_file.stat().st_size == before.st_size
    await _until(guarded, BOB, 401)


@pytest.mark.parametrize("make_unusable", [_remove, _let_all_users_write, _replace_by_a_directory, _make_too_large])
def test_a_registry_does_not_start_with_a_file_that_cannot_be_used(
    password_file: Path, make_unusable: Callable[[Path], None]
) -> None:
    make_unusable(password_file)
    config, _ = parse(_inmemory(password_file), {})
    with pytest.raises(ConfigError, match=r"^auth\.htpasswd\.path: /"):
        create_app(config)


async def test_a_registry_that_ran_with_a_file_starts_with_it(start_registry: StartRegistry, tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_bytes(b"stray\n")
    client = await start_registry(auth=auth_section(tmp_path / "htpasswd"))
    assert await _status(client, ALICE) == 401
    write_htpasswd(tmp_path / "htpasswd", {"alice": "a secret"})
    await _until(client, ALICE, 200)


def _inmemory(path: Path) -> str:
    return f"{{version: 0.1, storage: inmemory, auth: {{htpasswd: {{realm: x, path: {path}}}}}}}"
