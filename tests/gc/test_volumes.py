"""A missing volume is distinguished from repositories that an operator removed."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyregistry.gc.types import MarkFailed, Options, Plan, ProgressObserver, SafetyCheckFailed
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.local import volumes
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from tests.builders import image
from tests.cli.place import Place, run
from tests.gc.collecting import blobs, collect, gc, has_blob, remove_repository
from tests.processes import missing, require_root
from tests.storage.mounts import tmpfs
from tests.storage.pushing import files_of, pull, push_blob, push_image, registry_on, repository

APP, BIG = image(b"app"), image(b"big")


@contextlib.contextmanager
def bound(source: Path, target: Path) -> Iterator[None]:
    """A directory of the same file system mounted at another one, as two Docker volumes of one disk are."""
    require_root()
    result = subprocess.run(["mount", "--bind", source, target], check=False, capture_output=True, text=True)
    if result.returncode:
        missing(f"mount --bind does not work here ({result.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", target], check=True, capture_output=True)


@pytest.fixture(params=["tmpfs", "bind"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> "Disk":
    return Disk(tmp_path / "disk", is_bind=request.param == "bind")


class Disk:
    """Keeps what is on it while it is not mounted."""

    def __init__(self, kept: Path, *, is_bind: bool) -> None:
        self._kept = kept
        self._is_bind = is_bind
        kept.mkdir()

    def take(self, directory: Path) -> None:
        """Move what is in a directory onto the disk."""
        for path in list(directory.iterdir()):
            shutil.move(path, self._kept / path.name)

    @contextlib.contextmanager
    def mounted(self, at: Path) -> Iterator[None]:
        at.mkdir(parents=True, exist_ok=True)
        if self._is_bind:
            with bound(self._kept, at):
                yield
            return
        with tmpfs(at):
            shutil.copytree(self._kept, at, dirs_exist_ok=True)
            yield


@pytest.fixture
def driver(tmp_path: Path) -> FilesystemDriver:
    """On a disk, which a bind mount can be made on; no server saw it yet."""
    (tmp_path / "data").mkdir()
    return FilesystemDriver(tmp_path / "data")


def assert_unsafe(driver: FilesystemDriver, said: str) -> None:
    before = files_of(driver, layout.TREE)
    for dry_run in (True, False):
        with pytest.raises(SafetyCheckFailed, match=said):
            gc(driver, grace=0, dry_run=dry_run)
    assert files_of(driver, layout.TREE) == before


@pytest.mark.parametrize("name", ["nginx", "team/app"])
@pytest.mark.parametrize("seen", ["when empty", "with the repository", "by a run"])
def test_the_only_repository_removed_by_hand_is_freed(driver: FilesystemDriver, name: str, seen: str) -> None:
    if seen == "when empty":
        volumes.note_mounted(driver)
    push_image(repository(registry_on(driver), name), APP, "latest")
    if seen == "with the repository":
        volumes.note_mounted(driver)
    if seen == "by a run":
        gc(driver)
    remove_repository(driver, name)
    assert gc(driver, dry_run=True).blobs_removed == 3
    assert gc(driver).blobs_removed == 3
    push_image(repository(registry_on(driver), name), APP, "latest")
    remove_repository(driver, name)
    assert gc(driver).blobs_removed == 3


@pytest.mark.parametrize("repositories_too", [False, True])
def test_a_tree_without_repositories_that_nothing_saw_before_is_left_alone(
    driver: FilesystemDriver, *, repositories_too: bool
) -> None:
    push_image(repository(registry_on(driver)), APP, "latest")
    remove_repository(driver, "team")
    if repositories_too:
        driver.delete(layout.REPOSITORIES)
    volumes.note_mounted(driver)  # a server that starts on it learns nothing
    said = "no directory docker/registry/v2/repositories" if repositories_too else "no server or run has noted"
    assert_unsafe(driver, said)
    assert gc(driver, allow_empty=True).blobs_removed == 3


@pytest.mark.parametrize("at", ["", "big", "big/er"])
@pytest.mark.parametrize("seen", ["by a server", "by a run"])
def test_a_volume_that_is_not_mounted_any_more_ends_the_run(
    driver: FilesystemDriver, disk: Disk, at: str, seen: str
) -> None:
    volumes.note_mounted(driver)  # a first start, before there was a volume
    registry = registry_on(driver)
    place = driver.root / layout.REPOSITORIES / at
    push_image(repository(registry, "big/er"), BIG, "latest")
    push_image(repository(registry, "app"), APP, "latest")
    disk.take(place)
    with disk.mounted(place):
        if seen == "by a server":
            volumes.note_mounted(driver)
        else:
            assert gc(driver, grace=0).blobs_removed == 0
    path = str(Path(layout.REPOSITORIES) / at)
    assert_unsafe(driver, f"{path} was a volume of its own and is not mounted")
    volumes.note_mounted(driver)  # a restart without the disk
    push_image(repository(registry, "big/er"), APP, "latest")  # and a push to where it should be
    volumes.note_mounted(driver)
    assert_unsafe(driver, f"{path} was a volume of its own and is not mounted")
    remove_repository(driver, "big")
    with disk.mounted(place):
        assert gc(driver, grace=0).blobs_removed == 0
        assert pull(repository(registry, "big/er"), BIG)


def test_the_last_repository_of_a_volume_that_is_there_is_freed(driver: FilesystemDriver, disk: Disk) -> None:
    registry = registry_on(driver)
    push_image(repository(registry, "big"), BIG, "latest")
    disk.take(place := driver.root / layout.REPOSITORIES)
    with disk.mounted(place):
        volumes.note_mounted(driver)
        shutil.rmtree(place / "big")
        assert gc(driver).blobs_removed == 3


def test_an_empty_volume_over_repositories_ends_the_run(driver: FilesystemDriver, disk: Disk) -> None:
    registry = registry_on(driver)
    for name in ("app", "big/er"):
        push_image(repository(registry, name), image(name.encode()), "latest")
    volumes.note_mounted(driver)
    with disk.mounted(driver.root / layout.REPOSITORIES / "big"):
        volumes.note_mounted(driver)  # a restart does not make it right
        (driver.root / layout.REPOSITORIES / "big" / "lost+found").mkdir()
        assert_unsafe(driver, "repositories/big is a new volume without a repository")
    assert pull(repository(registry, "big/er"), image(b"big/er"))
    with disk.mounted(driver.root / layout.REPOSITORIES / "big"):
        assert gc(driver, allow_empty=True).blobs_removed == 2  # all but the config, which both have
        assert gc(driver).blobs_removed == 0  # and from now on it is what is meant


def test_a_volume_that_was_given_up_is_forgotten_when_that_is_said(driver: FilesystemDriver, disk: Disk) -> None:
    registry = registry_on(driver)
    for name in ("app", "big/er"):
        push_image(repository(registry, name), image(name.encode()), "latest")
    disk.take(place := driver.root / layout.REPOSITORIES / "big")
    with disk.mounted(place):
        gc(driver)
    assert_unsafe(driver, "repositories/big was a volume")
    assert gc(driver, allow_empty=True).blobs_removed == 2
    assert gc(driver).skipped == []
    assert blobs(driver)


def test_another_file_system_without_a_repository_ends_the_run(driver: FilesystemDriver) -> None:
    push_image(repository(registry_on(driver)), APP, "latest")
    volumes.note_mounted(driver)
    noted = driver.read(layout.VOLUMES)
    driver.write(layout.VOLUMES, noted.replace(b'"own":"', b'"own":"f'))
    assert gc(driver).skipped == []  # a copy on another disk, with its repositories
    assert driver.read(layout.VOLUMES) == noted
    driver.write(layout.VOLUMES, noted.replace(b'"own":"', b'"own":"f'))
    remove_repository(driver, "team")
    assert_unsafe(driver, "was on another file system")


def test_a_run_during_which_the_locks_came_elsewhere_ends(driver: FilesystemDriver, tmp_path: Path) -> None:
    """From then on its locks keep no server out, and no process reads the marks where it does."""
    push_image(repository(registry_on(driver)), APP, "latest")
    push_blob(repository(registry_on(driver)), b"garbage")
    shutil.copytree(driver.root / "docker", volume := tmp_path / "volume")

    class Mounting(ProgressObserver):
        def planned(self, plan: Plan) -> None:
            mounts.enter_context(bound(volume, driver.root / "docker"))

    with contextlib.ExitStack() as mounts:
        with pytest.raises(MarkFailed, match="another file system was mounted in the data directory"):
            collect(driver, Options(grace=0), Mounting())
        assert has_blob(driver, b"garbage")


@pytest.mark.parametrize("torn", [b"", b"{", b"\xff", b"[]"])
def test_a_torn_note_is_no_note(driver: FilesystemDriver, torn: bytes) -> None:
    push_image(repository(registry_on(driver)), APP, "latest")
    driver.write(layout.VOLUMES, torn)
    assert gc(driver).skipped == []
    remove_repository(driver, "team")
    assert gc(driver).blobs_removed == 3


@pytest.mark.parametrize("command", ["gc", "garbage-collect"])
@pytest.mark.parametrize("flags", [(), ("--dry-run",), ("-m",)])
def test_the_command_ends_with_3_and_says_what_to_do(tmp_path: Path, command: str, flags: tuple[str, ...]) -> None:
    place = Place(tmp_path)
    place.driver.delete(layout.VOLUMES)
    push_image(repository(place.registry), APP, "latest")
    place.driver.delete(layout.repository(RepositoryName("team")))
    done = run(command, *flags, place.config)
    assert done.returncode == 3
    assert "a volume seems to be missing: there are 3 blobs, but there is no repository" in done.stderr
    assert "if this is meant, use --allow-empty" in done.stderr
    assert len(blobs(place.driver)) == 3
    done = run(command, *flags, "--allow-empty", place.config)
    assert (done.returncode, len(blobs(place.driver))) == (0, 3 if "--dry-run" in flags else 0)


def test_rm_of_the_last_repository_is_remembered_as_meant(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.driver.delete(layout.VOLUMES)
    push_image(repository(place.registry), APP, "latest")
    assert run("rm", "--yes", "team/app", "--config", place.config).returncode == 0
    assert run("gc", place.config).returncode == 0
    assert blobs(place.driver) == set()
