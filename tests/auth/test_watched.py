"""A file that says who gets in, look by look."""

import os
import threading
import time
from pathlib import Path

import pytest

from pyregistry.auth.watched import UNSETTLED_LOOKS, FileUnusable, Purpose, WatchedFile
from tests.processes import wait_until
from tests.storage.mounts import FILE_SYSTEMS, file_system


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(b"first")
    os.utime(made, ns=(0, 0))
    return made


class Taken:
    """What is in force, in the order in which it came to be; None where the file was given up."""

    def __init__(self, path: Path) -> None:
        self.contents: list[bytes | None] = []
        self.file = WatchedFile(path, Purpose("file", "nothing goes", self._take, lambda: self.contents.append(None)))

    def _take(self, content: bytes) -> None:
        if content.startswith(b"bad"):
            raise FileUnusable("it is bad")
        self.contents.append(content)


def test_a_change_counts_when_it_was_seen_twice(path: Path) -> None:
    taken = Taken(path)
    path.write_bytes(b"second")
    assert taken.file.look(settled=True)
    assert taken.contents == [b"first"]
    assert taken.file.look(settled=True)
    assert taken.contents == [b"first", b"second"]


def test_a_change_counts_at_once_for_a_process_that_begins(path: Path) -> None:
    taken = Taken(path)
    path.write_bytes(b"second")
    assert taken.file.look(settled=False)
    assert taken.contents == [b"first", b"second"]


def test_a_file_that_looks_different_each_time_is_taken_over_all_the_same(path: Path) -> None:
    """A job that writes it again and again must not keep an old content in force."""
    taken = Taken(path)
    for number in range(UNSETTLED_LOOKS):
        assert taken.contents == [b"first"]
        path.write_bytes(b"%d" % number)
        os.utime(path, ns=(0, number))
        assert taken.file.look(settled=True)
    assert taken.contents == [b"first", b"%d" % (UNSETTLED_LOOKS - 1)]


@pytest.mark.parametrize("back", [b"first", b"second"])
@pytest.mark.parametrize("content", [b"bad", None])
def test_a_file_is_unusable_until_it_is_mended(path: Path, content: bytes | None, back: bytes) -> None:
    taken = Taken(path)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert [taken.file.look(settled=False) for _ in range(3)] == [False, False, False]
    assert taken.contents == [b"first"]
    path.write_bytes(back)
    assert taken.file.look(settled=False)
    assert taken.contents[-1] == back


@pytest.mark.parametrize("kind", ["tmpfs", *FILE_SYSTEMS])
def test_a_second_change_within_one_second_counts(tmp_path: Path, kind: str) -> None:
    with file_system(kind, tmp_path) as mounted:
        path = mounted / "file"
        path.write_bytes(b"first")
        while not 0.2 < time.time() % 1 < 0.5:  # so that all of it is in one second, and the first is no longer new
            time.sleep(0.01)
        path.write_bytes(b"other")
        while time.time() % 1 < 0.7:
            time.sleep(0.01)
        taken = Taken(path)
        path.write_bytes(b"third")
        assert taken.file.look(settled=False)
        assert taken.contents[-1] == b"third"


@pytest.mark.parametrize("kind", ["fifo", "device", "directory"])
def test_what_is_no_regular_file_is_unusable_and_blocks_no_look(path: Path, kind: str) -> None:
    taken = Taken(path)
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path, 0o600)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir(0o700)
    looks: list[bool] = []
    looking = threading.Thread(target=lambda: looks.append(taken.file.look(settled=False)), daemon=True)
    looking.start()
    looking.join(20)
    assert looks == [False]
    assert taken.contents == [b"first"]


def test_a_first_look_that_never_returns_does_not_stop_a_process_that_begins(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, answered, stat = Taken(path), threading.Event(), Path.stat

    def hang(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if self == path:
            answered.wait(60)
        return stat(self, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", hang)
    beginning = threading.Thread(target=taken.file.start, daemon=True)
    beginning.start()
    try:
        beginning.join(20)
        assert not beginning.is_alive()
        path.write_bytes(b"second")
        answered.set()
        wait_until(lambda: taken.contents[-1] == b"second", "the look that hung takes over what is there")
    finally:
        answered.set()
        taken.file.close()
