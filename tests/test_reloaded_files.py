"""Values made from files, look by look: a file that says who gets in, and one of several files."""

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pyregistry.auth.access_file import access_file
from pyregistry.common.reloaded_files import REPEAT_SECONDS, UNSTABLE_CHECKS, FileUnusable, GivenUp, ReloadedFiles, Use
from tests.processes import wait_until
from tests.storage.mounts import FILE_SYSTEMS, file_system


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(b"first")
    os.utime(made, ns=(0, 0))
    return made


class Taken:
    """Contents that came into force, in their order."""

    def __init__(self, path: Path) -> None:
        self.contents: list[bytes] = []
        self.file = access_file(path, "file", self._take, lambda _: {}, GivenUp(b"nothing", "nothing goes"))

    def _take(self, content: bytes) -> bytes:
        if content.startswith(b"bad"):
            raise FileUnusable("it is bad")
        self.contents.append(content)
        return content


def test_a_change_counts_when_it_was_seen_twice(path: Path) -> None:
    taken = Taken(path)
    path.write_bytes(b"second")
    assert taken.file.check(stable=True)
    assert taken.contents == [b"first"]
    assert taken.file.check(stable=True)
    assert taken.contents == [b"first", b"second"]


def test_a_change_counts_at_once_for_a_process_that_begins(path: Path) -> None:
    taken = Taken(path)
    path.write_bytes(b"second")
    assert taken.file.check(stable=False)
    assert taken.contents == [b"first", b"second"]


def test_a_file_that_looks_different_each_time_is_taken_over_all_the_same(path: Path) -> None:
    """A job that writes it again and again must not keep an old content in force."""
    taken = Taken(path)
    for number in range(UNSTABLE_CHECKS):
        assert taken.contents == [b"first"]
        path.write_bytes(b"%d" % number)
        os.utime(path, ns=(0, number))
        assert taken.file.check(stable=True)
    assert taken.contents == [b"first", b"%d" % (UNSTABLE_CHECKS - 1)]


def test_a_file_that_is_missing_at_one_look_is_no_error_and_at_two_it_is(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    taken = Taken(path)
    assert taken.file.check(stable=True)
    away = path.rename(path.with_suffix(".away"))
    assert taken.file.check(stable=True)
    away.rename(path)
    assert [taken.file.check(stable=True) for _ in range(3)] == [True, True, True]
    assert "not usable" not in caplog.text
    path.unlink()
    assert [taken.file.check(stable=True) for _ in range(3)] == [True, False, False]
    assert caplog.text.count("not usable") == 1
    assert taken.contents == [b"first"]


@pytest.mark.parametrize("back", [b"first", b"second"])
@pytest.mark.parametrize("content", [b"bad", None])
def test_a_file_is_unusable_until_it_is_mended(path: Path, content: bytes | None, back: bytes) -> None:
    taken = Taken(path)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert [taken.file.check(stable=False) for _ in range(3)] == [False, False, False]
    assert taken.contents == [b"first"]
    path.write_bytes(back)
    assert taken.file.check(stable=False)
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
        assert taken.file.check(stable=False)
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
    looking = threading.Thread(target=lambda: looks.append(taken.file.check(stable=False)), daemon=True)
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


class Pair:
    """A value of two files that fit together if they have the same content; kept while they do not."""

    def __init__(self, directory: Path) -> None:
        self.paths = [directory / "one", directory / "two"]
        for path in self.paths:
            path.write_bytes(b"first")
        self.made = 0
        use = Use("pair", self._read, self._make, lambda value: {"value": value}, restored="pair usable again")
        self.files = ReloadedFiles(self.paths, use)

    def _read(self) -> list[bytes]:
        try:
            return [path.read_bytes() for path in self.paths]
        except OSError as error:
            raise FileUnusable(str(error.strerror)) from error

    def _make(self, contents: Sequence[bytes]) -> bytes:
        self.made += 1
        one, two = contents
        if one != two:
            raise RuntimeError("an error of a kind that is not foreseen")
        return one


def test_files_that_belong_together_are_taken_over_together(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    for path, value in zip(pair.paths, (b"first", b"second"), strict=True):
        path.write_bytes(b"second")
        pair.files.check(stable=False)
        assert pair.files.value == value


def test_an_error_that_is_not_foreseen_keeps_the_value_at_each_look(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    pair.paths[0].write_bytes(b"second")
    assert [pair.files.check(stable=False) for _ in range(3)] == [False, False, False]
    assert (pair.files.value, pair.made) == (b"first", 2)


def test_the_same_contents_in_other_files_make_nothing_anew(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    for path in pair.paths:
        temporary = path.with_suffix(".beside")
        temporary.write_bytes(path.read_bytes())
        temporary.replace(path)
        assert pair.files.check(stable=False)
    assert pair.made == 1


def test_a_complaint_is_repeated_after_a_minute_and_the_end_of_it_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    pair, now = Pair(tmp_path), time.monotonic()
    away = pair.paths[0].rename(tmp_path / "away")
    for seconds, complaints in ((0, 1), (1, 1), (REPEAT_SECONDS + 1, 2)):
        monkeypatch.setattr(time, "monotonic", lambda seconds=seconds: now + seconds)
        assert not pair.files.check(stable=False)
        assert caplog.text.count("pair not usable") == complaints
    away.rename(pair.paths[0])
    assert [pair.files.check(stable=False) for _ in range(3)] == [True, True, True]
    assert caplog.text.count("pair usable again") == 1
    assert pair.made == 1
