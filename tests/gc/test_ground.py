"""A run is refused where its proof does not hold, and nowhere else."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pyregistry.gc.types import Options, Plan, ProgressObserver, SafetyCheckFailed
from pyregistry.oci.names import Tag
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import PathNotFound, Stat
from tests.builders import image
from tests.cli.place import Place
from tests.cli.place import run as run_command
from tests.gc.collecting import collect, gc, has_blob
from tests.processes import forked_server, wait_until
from tests.storage.mounts import FILE_SYSTEMS, bound, file_system, network, tmpfs
from tests.storage.pushing import pull, push_blob, registry_on, repository


def is_refused(driver: FilesystemDriver) -> str | None:
    """Return the reason for a refusal, or None."""
    try:
        gc(driver, grace=0)
    except SafetyCheckFailed as error:
        return str(error)
    return None


@pytest.mark.parametrize("kind", ["tmpfs", *FILE_SYSTEMS])
def test_a_disk_of_this_machine_is_not_refused(tmp_path: Path, kind: str) -> None:
    with file_system(kind, tmp_path) as mounted:
        assert is_refused(FilesystemDriver(mounted)) is None


def test_what_a_guest_gets_from_its_machine_is_not_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with network(data, "grpcfuse"):
        assert is_refused(FilesystemDriver(data)) is None


@pytest.mark.parametrize("part", ["data", "data/docker/registry/v2/blobs"])
def test_the_command_refuses_what_machines_share_and_removes_nothing(tmp_path: Path, part: str) -> None:
    place = Place(tmp_path)
    push_blob(repository(place.registry), b"not used")
    (tmp_path / part).mkdir(parents=True, exist_ok=True)
    with network(tmp_path / part):
        done = run_command("gc", "--grace", "0", place.config)
        assert done.returncode == 3, done
        assert f"{tmp_path / part} is fuse.sshfs" in done.stderr
        assert "--i-know" in done.stderr
        assert has_blob(place.driver, b"not used")
        done = run_command("gc", "--grace", "0", "--dry-run", place.config)
        assert done.returncode == 0, done
        assert has_blob(place.driver, b"not used")
    shutil.rmtree(tmp_path / part / layout.MOUNTED, ignore_errors=True)  # the locks of those that saw the mount
    assert run_command("gc", "--grace", "0", place.config).returncode == 0
    assert not has_blob(place.driver, b"not used")


@pytest.mark.parametrize("how", ["option", "variable"])
def test_who_knows_runs_all_the_same(tmp_path: Path, how: str) -> None:
    place = Place(tmp_path)
    push_blob(repository(place.registry), b"not used")
    with network(place.data):
        options, environ = (["--i-know"], {}) if how == "option" else ([], {"REGISTRY_PYREGISTRY_GC_I-KNOW": "true"})
        done = run_command("gc", "--grace", "0", *options, place.config, **environ)
        assert done.returncode == 0, done
    assert not has_blob(place.driver, b"not used")


@pytest.mark.parametrize("knows", [False, True])
def test_the_server_s_own_run_says_it_in_the_log(tmp_path: Path, knows: bool) -> None:
    data = tmp_path / "data"
    data.mkdir()
    section = {"workers": 1, "gc": {"interval": "1s", "i-know": knows}}
    with network(data), forked_server(tmp_path, pyregistry=section) as server:
        expected = "blobs=" if knows else "is fuse.sshfs"
        push_blob(repository(registry_on(FilesystemDriver(data))), b"a blob")
        wait_until(lambda: expected in server.log.read_text(), f"the log says {expected}")


V2 = "docker/registry/v2"
POINTS = ["docker", "docker/registry", V2, f"{V2}/blobs"]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("server", ["sees the mount", "began before the mount"])
def test_a_server_that_sees_other_mounts_is_noticed_by_its_locks(tmp_path: Path, point: str, server: str) -> None:
    place = Place(tmp_path)
    (place.data / point).mkdir(parents=True, exist_ok=True)
    view = tmp_path / "container"
    (view / point).mkdir(parents=True)
    if server == "sees the mount":
        with bound(place.data / point, view / point):
            assert is_refused(FilesystemDriver(view)) is None
            push_blob(repository(registry_on(FilesystemDriver(view))), b"not used")
        other, used = f"{point}/{layout.MOUNTED}", layout.PRIVATE
        FilesystemDriver(place.data).probe()
        assert_refused(place, place.data / other / "locks", place.data / used / "locks")
        shutil.rmtree(place.data / other)
        assert run_command("gc", "--grace", "0", "--allow-empty", place.config).returncode == 0
        return
    push_blob(repository(place.registry), b"not used")
    shutil.copytree(place.data / point, volume := tmp_path / "volume", dirs_exist_ok=True)
    with bound(volume, place.data / point):
        assert_refused(place, place.data / ".pyregistry/locks", place.data / point / layout.MOUNTED / "locks")
        assert run_command("gc", "--grace", "0", "--allow-empty", "--i-know", place.config).returncode == 0


@pytest.mark.parametrize("point", POINTS[:-1])
def test_a_run_that_cannot_see_the_server_s_locks_keeps_what_it_pushes(tmp_path: Path, point: str) -> None:
    """Not supported, as nothing can notice it. Touches keep the image all the same."""
    place, view = Place(tmp_path), tmp_path / "container"
    for root in (place.data, view):
        (root / point).mkdir(parents=True, exist_ok=True)
    repo, pushed = repository(place.registry), image(b"pushed before the run, and used during it")
    for blob in pushed.blobs:
        push_blob(repo, blob)

    class PushesBeforeTheSweep(ProgressObserver):
        def planned(self, plan: Plan) -> None:
            repo.put_manifest(Tag("latest"), pushed.content, pushed.media_type)

    with bound(place.data / point, view / point):
        collect(FilesystemDriver(view), Options(grace=0, allow_empty=True), PushesBeforeTheSweep())
    assert pull(repo, pushed)


def assert_refused(place: Place, other: Path, used: Path) -> None:
    """The command ends with 3, names both directories and says what to do."""
    done = run_command("gc", "--grace", "0", "--allow-empty", place.config)
    assert done.returncode == 3, done
    assert f"{other} has locks as well as {used}" in done.stderr
    assert "run where the server runs, with the same mounts, or remove it if no process uses it" in done.stderr
    assert has_blob(FilesystemDriver(place.data), b"not used")


@pytest.mark.parametrize(
    "points", [(), *((point,) for point in POINTS), tuple(POINTS), (".pyregistry",), (f"{V2}/repositories",)]
)
def test_a_tree_that_all_see_alike_is_not_refused(root: Path, points: Sequence[str]) -> None:
    with contextlib.ExitStack() as stack:
        for point in points:
            (root / point).mkdir(parents=True)
            stack.enter_context(tmpfs(root / point))
        push_blob(repository(registry_on(FilesystemDriver(root))), b"not used")
        for _ in range(2):
            assert is_refused(FilesystemDriver(root)) is None
        assert not has_blob(FilesystemDriver(root), b"not used")


def test_locks_that_a_link_makes_the_same_are_not_refused(root: Path) -> None:
    driver = FilesystemDriver(root)
    push_blob(repository(registry_on(driver)), b"not used")
    (root / "docker" / layout.MOUNTED).symlink_to(root / layout.PRIVATE)
    assert is_refused(driver) is None


def test_locks_that_keep_nobody_out_are_refused(root: Path) -> None:
    class Open(FilesystemDriver):
        @contextlib.contextmanager
        def lock(self, name: str, *, exclusive: bool, wait: bool = True) -> Iterator[None]:
            yield

    assert "does not exclude another one" in (is_refused(Open(root)) or "")


def test_files_that_are_seen_late_are_refused(root: Path) -> None:
    class Late(FilesystemDriver):
        def stat(self, path: StoragePath) -> Stat:
            raise PathNotFound(path)

    assert "is not seen" in (is_refused(Late(root)) or "")
