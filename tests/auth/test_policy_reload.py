"""The file of rules changes while the registry runs."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pyregistry.auth.policy import PolicyInvalid
from pyregistry.auth.policy_file import PolicyFile
from pyregistry.common.reloaded_files import POLL_SECONDS, ReloadedFiles
from tests.auth.rules import ACCESS, ADMIN, GUEST, start_with_rules
from tests.conftest import StartRegistry
from tests.push import Client
from tests.raw import ask

_OPEN = "/v2/public/app/tags/list"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyregistry.common.reloaded_files.POLL_SECONDS", 0.03)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "access.yml"
    path.write_text(json.dumps(ACCESS))
    return path


@pytest.fixture
async def ruled(start_registry: StartRegistry, tmp_path: Path, file: Path) -> Client:
    client = await start_with_rules(start_registry, tmp_path, file)
    assert await _status(client) == 404
    return client


async def _status(client: Client, headers: dict[str, str] = GUEST) -> int:
    return (await ask(client, "GET", _OPEN, headers)).status


async def _until(client: Client, status: int, headers: dict[str, str] = GUEST, seconds: float = 3) -> None:
    async with asyncio.timeout(seconds):
        while await _status(client, headers) != status:
            await asyncio.sleep(0.02)


async def test_a_rule_that_is_taken_away_or_added_applies(ruled: Client, file: Path) -> None:
    file.write_text(json.dumps(ACCESS[:2]))
    await _until(ruled, 403)
    file.write_text(json.dumps(ACCESS))
    await _until(ruled, 404)


async def test_it_applies_within_two_seconds_at_the_real_pace(
    start_registry: StartRegistry, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyregistry.common.reloaded_files.POLL_SECONDS", POLL_SECONDS)
    client = await start_with_rules(start_registry, tmp_path, file)
    file.write_text(json.dumps(ACCESS[:2]))
    await _until(client, 403, seconds=2)


async def test_the_challenge_follows_the_rules(ruled: Client, file: Path) -> None:
    async def scheme() -> str:
        return (await ask(ruled, "GET", "/v2/")).headers["WWW-Authenticate"].partition(" ")[0]

    assert await scheme() == "Bearer"
    file.write_text(json.dumps(ACCESS[:2]))
    await _until(ruled, 403)
    assert await scheme() == "Basic"


BROKEN: dict[str, bytes | int | None] = {
    "empty": b"",
    "torn": b"[",
    "a word": b"rules",
    "an unknown action": b'[{"repositories": "**", "who": "everyone", "actions": "everything"}]',
    "a key twice": b"access: []\naccess: []\n",
    "not text": b"\xff\xfe",
    "missing": None,
    "all users may write": 0o666,
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
async def test_a_broken_file_keeps_the_last_rules_for_a_minute_and_then_denies_everything(
    ruled: Client,
    file: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    change: bytes | int | None,
) -> None:
    """A rule may have been taken away in it."""
    monkeypatch.setattr("pyregistry.common.reloaded_files.KEPT_CHECKS", 40)
    if isinstance(change, int):
        file.chmod(change)
    elif change is None:
        file.unlink()
    else:
        file.write_bytes(change)
    async with asyncio.timeout(20):
        while (status := await _status(ruled)) == 404:
            await asyncio.sleep(0.02)
    assert status == 403
    assert await _status(ruled, ADMIN) == 403
    assert (await ask(ruled, "GET", "/v2/")).headers["WWW-Authenticate"].startswith("Basic ")
    assert caplog.text.count("the last valid content stays active for up to a minute") == 1
    assert caplog.text.count("access rules not usable for a minute: everything is denied") == 1
    assert str(file) in caplog.text
    file.unlink(missing_ok=True)
    file.write_text(json.dumps(ACCESS))
    await _until(ruled, 404, seconds=20)


def test_a_registry_does_not_start_with_rules_that_everybody_may_write(file: Path) -> None:
    """As with an htpasswd file."""
    file.chmod(0o666)
    with pytest.raises(PolicyInvalid, match=r"every user of this machine may write to it \(mode 0666\)"):
        PolicyFile(file)
    file.chmod(0o644)
    assert len(PolicyFile(file).policy.rules) == len(ACCESS)


async def test_a_file_that_is_still_being_written_is_left_alone(
    ruled: Client, file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyregistry.common.reloaded_files.UNSTABLE_CHECKS", 1_000)
    text = json.dumps(ACCESS[:2])
    beginnings = iter([*(text[:end] for end in range(1, len(text), 9)), text])
    look = ReloadedFiles._signature

    def write_and_look(files: ReloadedFiles[Any]) -> Any:
        if (beginning := next(beginnings, None)) is not None:
            file.write_text(beginning)
        return look(files)

    monkeypatch.setattr(ReloadedFiles, "_signature", write_and_look)
    await _until(ruled, 403, seconds=20)
    assert next(beginnings, None) is None
    assert "not usable" not in caplog.text


async def test_a_file_behind_a_link_that_is_swapped_is_read_again(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    for number, rules in enumerate([ACCESS, ACCESS[:2]]):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "access.yml").write_text(json.dumps(rules))
    link = tmp_path / "..data"
    link.symlink_to("..0")
    client = await start_with_rules(start_registry, tmp_path, link / "access.yml")
    assert await _status(client) == 404
    (tmp_path / "..beside").symlink_to("..1")
    (tmp_path / "..beside").replace(link)
    await _until(client, 403)
