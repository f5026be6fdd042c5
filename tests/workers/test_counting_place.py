"""The directory that workers count into: where it is made, and who removes that of a killed server."""

import fcntl
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from pyregistry.observe import metrics_directory as counting_place
from pyregistry.observe.metrics_directory import counting_directory
from tests.processes import wait_until
from tests.workers.http import ask
from tests.workers.watching import Watched, watched_server
from tests.workers.workers import workers_of


def test_the_directory_of_a_killed_server_is_removed_at_the_next_start(tmp_path: Path) -> None:
    with watched_server(tmp_path, pyregistry={"workers": 1}) as watched:
        [abandoned] = watched.directories
        watched.server.kill()
        assert watched.directories == [abandoned]
        watched.server.start()
        [directory] = watched.directories
        assert directory != abandoned
        assert ask(watched.server, "GET", "/v2/").status == 200
        assert watched.total("registry_http_requests_total", handler="base") >= 1


def test_the_directory_of_a_running_server_stays_whoever_starts(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with watched_server(tmp_path / "one", pyregistry={"workers": 1}) as watched:
        [directory] = watched.directories
        assert _starts_beside(tmp_path, watched)
        assert directory in watched.directories
        assert ask(watched.server, "GET", "/v2/").status == 200
        assert watched.total("registry_http_requests_total", handler="base") >= 1


def test_the_directory_stays_while_a_worker_lives_that_the_killed_process_left_behind(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with watched_server(tmp_path / "one", pyregistry={"workers": 1}) as watched:
        [directory] = watched.directories
        [worker] = workers_of(watched.server)
        os.kill(worker, signal.SIGSTOP)
        os.kill(watched.server.pid, signal.SIGKILL)
        assert _starts_beside(tmp_path, watched)
        assert directory in watched.directories
        assert _holds(worker, directory)
        os.kill(worker, signal.SIGKILL)
        wait_until(
            lambda: not Path(f"/proc/{worker}/fd").exists() or not list(Path(f"/proc/{worker}/fd").iterdir()),
            "it ended",
        )
        assert _starts_beside(tmp_path, watched)
        assert directory not in watched.directories


def _holds(pid: int, directory: Path) -> bool:
    """Return True if a process has the lock of the directory open."""
    with suppress(OSError):  # it has just ended
        return str(directory / "owner") in {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}
    return False


def _starts_beside(directory: Path, watched: Watched) -> bool:
    """Return True if another server starts, and ends, with the same place for temporary files."""
    own = directory / "other"
    own.mkdir(exist_ok=True)
    with watched_server(own, temporary=watched.server.env["TMPDIR"], pyregistry={"workers": 1}) as other:
        return ask(other.server, "GET", "/v2/").status == 200


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two places, neither of which is the system's."""
    found = [tmp_path / "first", tmp_path / "second"]
    for place in found:
        place.mkdir()
    monkeypatch.setattr(counting_place, "places", lambda: found)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    return found


def test_the_first_place_is_taken_and_left_empty(places: list[Path]) -> None:
    with counting_directory() as directory:
        assert directory is not None
        assert directory.parent == places[0]
        assert directory.stat().st_mode & 0o777 == 0o700
    assert list(places[0].iterdir()) == []


@pytest.mark.parametrize("what", ["a file", "nothing", "too little room"])
def test_a_place_that_will_not_do_is_passed_over(
    places: list[Path], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    places[0].rmdir()
    if what == "a file":
        places[0].touch()
    if what == "too little room":
        places[0].symlink_to("/proc/self")  # a file system without any
    with counting_directory() as directory:
        assert directory is not None
        assert directory.parent == places[1]


def test_without_any_place_there_is_none(places: list[Path]) -> None:
    for place in places:
        place.rmdir()
    with counting_directory() as directory:
        assert directory is None


def test_what_is_not_a_killed_servers_is_left_alone(places: list[Path]) -> None:
    """One is being made, one locked, one of another kind, and one a link to another user's files."""
    first = places[0]
    (first / "pyregistry-metrics-new").mkdir()
    (first / "pyregistry-metrics-held").mkdir()
    (first / "pyregistry-metrics-file").touch()
    (first / "other").mkdir()
    for owned in (first / "pyregistry-metrics-held", first / "other"):
        (owned / "owner").touch()
    (first / "pyregistry-metrics-link").symlink_to(first / "other")
    (first / "pyregistry-metrics-dead").mkdir()
    (first / "pyregistry-metrics-dead/owner").touch()
    with (first / "pyregistry-metrics-held/owner").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with counting_directory():
            pass
    left = {path.name for path in first.iterdir()}
    assert left == {*(f"pyregistry-metrics-{name}" for name in ("new", "held", "file", "link")), "other"}
    assert (first / "other/owner").exists()
