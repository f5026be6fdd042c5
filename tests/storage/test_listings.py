"""What is remembered of a directory is never older than the directory."""

import os
import time
from pathlib import Path

import pytest

from pyregistry.storage import listings
from pyregistry.storage.driver import PathNotFound
from pyregistry.storage.listings import LARGE, Listings

MANY = sorted(f"n{number:05}" for number in range(LARGE + 500))


@pytest.fixture
def large(root: Path) -> Path:
    """A directory of MANY names that has not changed for a minute."""
    for name in MANY:
        (root / name).touch()
    settle(root)
    return root


def settle(directory: Path) -> None:
    when = time.time() - 60
    os.utime(directory, (when, when))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The directories that were read."""
    found: list[str] = []
    listdir = os.listdir

    def counted(path: str) -> list[str]:
        found.append(path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", counted)
    return found


@pytest.mark.parametrize("after", [None, "", MANY[0], MANY[700], f"{MANY[700]}x", MANY[-1], "zzz"])
def test_a_large_directory_is_read_once_and_listed_right(large: Path, reads: list[str], after: str | None) -> None:
    known = Listings()
    expected = [name for name in MANY if after is None or name > after]
    for _ in range(3):
        assert list(known.names(str(large), after)) == expected
    assert len(reads) == 1


@pytest.mark.parametrize("change", ["added", "removed", "renamed"])
def test_a_change_is_seen_at_once(large: Path, change: str) -> None:
    known = Listings()
    assert list(known.names(str(large), None)) == MANY
    match change:
        case "added":
            (large / "a").touch()
        case "removed":
            (large / MANY[3]).unlink()
        case _:
            (large / MANY[3]).rename(large / "a")
    assert list(known.names(str(large), None)) == sorted(path.name for path in large.iterdir()) != MANY


def test_a_directory_that_just_changed_is_read_again(large: Path, reads: list[str]) -> None:
    (large / "a").touch()
    known = Listings()
    for _ in range(2):
        assert list(known.names(str(large), None)) == ["a", *MANY]
    assert len(reads) == 2


def test_a_small_directory_is_not_remembered(root: Path, reads: list[str]) -> None:
    (root / "a").touch()
    settle(root)
    known = Listings()
    for _ in range(2):
        assert list(known.names(str(root), None)) == ["a"]
    assert len(reads) == 2


def test_what_is_remembered_is_bounded(large: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "MAX_NAMES", len(MANY) - 1)
    known = Listings()
    for _ in range(2):
        assert list(known.names(str(large), None)) == MANY
    assert len(reads) == 2


def test_symbolic_links_are_left_out_and_a_missing_directory_is_not_found(large: Path) -> None:
    (large / MANY[1]).unlink()
    (large / MANY[1]).symlink_to(large / MANY[0])
    settle(large)
    known = Listings()
    assert list(known.names(str(large), None)) == [MANY[0], *MANY[2:]]
    with pytest.raises(PathNotFound):
        next(known.names(str(large / "missing"), None))
