"""A file system mounted anywhere in the tree: all that works on one works there, and no registry sees our files."""

import asyncio
import errno
import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pyregistry.fsck.scope import CheckScope
from pyregistry.gc.types import Options
from pyregistry.inventory.usage import measure
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobUnknown, BlobUploadUnknown, ManifestUnknown, Unavailable
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.local import leases
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.local.places import mount_points
from pyregistry.storage.local.uploads import LocalUpload
from pyregistry.storage.local.volumes import note_mounted
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.objects import PathBusy, PathNotFound
from pyregistry.storage.seams.rules import Rules
from tests.builders import image
from tests.fsck.trees import check, quarantine_if_damaged
from tests.gc.collecting import collect
from tests.storage.backends import backend_on
from tests.storage.mounts import bound, overlay, remount_read_only, resize, tmpfs
from tests.storage.pushing import pull, push_blob, push_image, registry_on, repository, stream, tagged_images

V2 = "docker/registry/v2"
MOUNTS: dict[str, Sequence[str]] = {
    "nothing": (),
    "docker": ("docker",),
    "docker/registry": ("docker/registry",),
    "docker/registry/v2": (V2,),
    "blobs": (f"{V2}/blobs",),
    "repositories": (f"{V2}/repositories",),
    "blobs and repositories": (f"{V2}/blobs", f"{V2}/repositories"),
    "blobs below docker": ("docker", f"{V2}/blobs"),
    "an algorithm": (f"{V2}/blobs/sha256",),
    "the first byte of digests": (f"{V2}/blobs/sha256/00",),
    "a namespace": (f"{V2}/repositories/team",),
    "a repository": (f"{V2}/repositories/team/app",),
    "a repository with a space": (f"{V2}/repositories/team", f"{V2}/repositories/team/other one"),
    "our own directory": (".pyregistry",),
    "our temporary files": (".pyregistry/tmp",),
}
ABOVE_THE_BLOBS = ["docker", "docker/registry", V2, f"{V2}/blobs"]
KEPT, GARBAGE, UNTAGGED = image(b"kept"), image(b"garbage"), image(b"untagged")


@contextmanager
def mounted(root: Path, points: Sequence[str], volumes: Path | None = None) -> Iterator[None]:
    """Another tmpfs at each of the points or, given a directory of the same disk, another volume of it."""
    with ExitStack() as stack:
        for number, point in enumerate(points):
            directory = root / point
            directory.mkdir(parents=True, exist_ok=True)
            if volumes is None:
                stack.enter_context(tmpfs(directory, "size=64m"))
            else:
                volume = volumes / str(number)
                volume.mkdir(parents=True)
                stack.enter_context(bound(volume, directory))
        yield


@pytest.fixture(params=list(MOUNTS.values()), ids=list(MOUNTS))
def points(request: pytest.FixtureRequest) -> Sequence[str]:
    """Each place in turn."""
    found: Sequence[str] = request.param
    return found


@pytest.fixture(params=["another disk", "another volume of the disk"])
def tree(request: pytest.FixtureRequest, root: Path, points: Sequence[str]) -> Iterator[Path]:
    """A data directory with something mounted in it. Two volumes of one disk have one device number."""
    volumes = root.parent / "volumes" if request.param != "another disk" else None
    with mounted(root, points, volumes):
        yield root


def assert_nothing_in_the_way(root: Path) -> None:
    """The walks of the CNCF registry find only blobs and repositories, and none of our files is left behind."""
    blobs = root / layout.BLOBS
    assert all(
        re.fullmatch(r"sha256/../[0-9a-f]{64}", str(path.parent.relative_to(blobs))) for path in blobs.rglob("data")
    )
    for directory, names, files in os.walk(root / layout.REPOSITORIES):
        if any(name.startswith("_") for name in Path(directory).relative_to(root / layout.REPOSITORIES).parts):
            continue
        assert files == []
        assert {name for name in names if name.startswith("_")} <= {*FOUND_IN_A_REPOSITORY, layout.MOUNTED}
    driver = FilesystemDriver(root)
    for place in driver.private_directories():
        assert list(driver.children(layout.temporaries(place))) == []
        assert list(driver.children(layout.trash(place))) == []


FOUND_IN_A_REPOSITORY = {"_layers", "_manifests", "_uploads", "_referrers"}


def test_push_retag_mount_delete_collect_and_check(tree: Path) -> None:
    driver = FilesystemDriver(tree)
    driver.probe()
    note_mounted(driver)  # as a server does at its start
    registry = registry_on(driver)
    app, other = repository(registry, "team/app"), repository(registry, "other")
    for pushed in (KEPT, GARBAGE, UNTAGGED):
        push_image(app, pushed, "1.0" if pushed is KEPT else "old")
    app.put_manifest(Tag("1.1"), KEPT.content, KEPT.media_type)
    for blob in KEPT.blobs:
        other.mount_blob(Digest.of(blob), app)
    push_image(other, KEPT, "latest")
    registry.try_writing()
    app.delete_tag(Tag("old"))
    app.delete_manifest(Digest(GARBAGE.digest))
    other.unlink_blob(push_blob(other, b"unlinked"))
    asyncio.run(app.start_upload().cancel())
    report = collect(driver, Options(grace=0, delete_untagged=True))
    assert report.skipped == []
    layers = {*GARBAGE.blobs, *UNTAGGED.blobs} - {*KEPT.blobs}
    assert (report.manifests_removed, report.blobs_removed) == (1, len(layers) + 2 + 1)
    assert tagged_images(app) == {"1.0": KEPT.digest, "1.1": KEPT.digest}
    assert pull(app, KEPT)
    assert pull(other, KEPT)
    with pytest.raises(ManifestUnknown):
        app.manifest(Digest(UNTAGGED.digest))
    assert list(registry.catalog()) == ["other", "team/app"]
    assert list(check(driver, CheckScope(Rules()))) == []
    assert_nothing_in_the_way(tree)


def test_an_upload_is_continued_cancelled_and_expires(tree: Path) -> None:
    app = repository(registry_on(FilesystemDriver(tree)), "team/app")
    content = os.urandom(3_000_000)

    async def use() -> None:
        upload = await asyncio.to_thread(app.start_upload)
        await upload.append(stream(content[:2_000_000]))
        await app.upload(upload.id).commit(Digest.of(content), stream(content[2_000_000:]))
        with pytest.raises(BlobUploadUnknown):
            await asyncio.to_thread(upload.offset)
        old = await asyncio.to_thread(app.start_upload)
        assert await old.expire(2**62)

    asyncio.run(use())
    assert list(app.uploads()) == []
    assert app.blob(Digest.of(content)).size == len(content)
    assert_nothing_in_the_way(tree)


def test_damaged_bytes_go_into_a_quarantine_on_their_own_file_system(tree: Path) -> None:
    driver = FilesystemDriver(tree)
    digest = push_blob(repository(registry_on(driver), "team/app"), b"content")
    (tree / layout.blob_data(digest)).write_bytes(b"mended")
    assert quarantine_if_damaged(driver, digest)
    assert measure(backend_on(driver)).quarantine == len(b"mended")
    place = driver.private_directory_of(layout.blob_data(digest))
    [name] = driver.children(layout.quarantine(place))
    assert (tree / place).stat().st_dev == (tree / layout.BLOBS / "sha256").stat().st_dev
    assert (tree / layout.quarantine(place) / name).read_bytes() == b"mended"


def test_what_a_killed_writer_left_is_removed_after_a_day(tree: Path) -> None:
    driver = FilesystemDriver(tree)
    note_mounted(driver)
    push_image(repository(registry_on(driver), "team/app"), KEPT, "1.0")
    for place in driver.private_directories():
        for name, age in (("old", 2 * 86_400), ("young", 0)):
            path = tree / layout.temporaries(place) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
            os.utime(path, (path.stat().st_mtime - age,) * 2)
        driver.make_directory(layout.child(layout.trash(place), "left"))
    assert len([each for each in check(driver, CheckScope(Rules())) if each.kind == "temporary"]) == len(
        driver.private_directories()
    )
    collect(driver, Options())
    for place in driver.private_directories():
        assert list(driver.children(layout.temporaries(place))) == ["young"]
        assert list(driver.children(layout.trash(place))) == []


@pytest.mark.parametrize("points", [MOUNTS["docker"], MOUNTS["blobs"], MOUNTS["repositories"], MOUNTS["a namespace"]])
def test_it_is_not_ready_while_one_of_the_file_systems_cannot_be_written(root: Path, points: Sequence[str]) -> None:
    with mounted(root, points):
        registry = registry_on(FilesystemDriver(root))
        push_image(repository(registry, "team/app"), KEPT, "1.0")
        registry.try_writing()
        remount_read_only(root / points[0])
        with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
            registry.try_writing()


def test_a_volume_without_repositories_gets_none_by_being_asked_whether_it_is_ready(root: Path) -> None:
    registry_on(FilesystemDriver(root)).try_writing()
    assert not (root / layout.REPOSITORIES).exists()
    assert not (root / layout.BLOBS).exists()


@pytest.mark.parametrize("points", [*MOUNTS.values()], ids=MOUNTS.keys())
def test_a_file_system_that_is_mounted_later_is_noticed(root: Path, points: Sequence[str]) -> None:
    driver = FilesystemDriver(root)
    with mounted(root, points):
        app = repository(registry_on(driver), "team/app")
        # The locks go with the blobs: a request that finds them elsewhere holds those that no other process takes now.
        if FilesystemDriver(root).private_directory_of(layout.LOCKS) != driver.private_directory_of(layout.LOCKS):
            with pytest.raises(Unavailable):
                push_image(app, KEPT, "1.0")
        push_image(app, KEPT, "1.0")
        assert pull(app, KEPT)
        app.delete_tag(Tag("1.0"))
        assert tagged_images(app) == {}


@pytest.mark.parametrize("point", ABOVE_THE_BLOBS)
def test_the_locks_are_on_the_volume_of_the_blobs(root: Path, point: str) -> None:
    with mounted(root, (point,)):
        driver = FilesystemDriver(root)
        push_image(repository(registry_on(driver), "team/app"), KEPT, "1.0")
        assert (root / point / layout.MOUNTED / "locks" / "commit").exists()
        assert not (root / layout.PRIVATE).exists()
        assert not (root / layout.MOUNTED / "locks").exists()
        assert driver.private_directory_of(layout.LOCKS) == f"{point}/{layout.MOUNTED}"


def test_a_section_in_which_the_locks_came_elsewhere_is_not_acknowledged(root: Path) -> None:
    """It holds a lock that no other process takes, whichever thread has noticed."""
    driver = FilesystemDriver(root)
    digest = push_blob(repository(registry_on(driver), "other"), b"content")
    (volume := root.parent / "volume").mkdir()
    shutil.copytree(root / "docker", volume, dirs_exist_ok=True)
    with bound(volume, root / "docker"):
        with ExitStack() as section:
            section.enter_context(leases.commit_section(driver))
            with pytest.raises(Unavailable):
                driver.write(layout.blob_data(digest), b"content")
            leases.touch(driver, digest)
            with pytest.raises(Unavailable):
                section.close()
        with leases.commit_section(driver), pytest.raises(PathBusy):
            FilesystemDriver(root).lock("commit", exclusive=True, wait=False).__enter__()


def test_two_requests_that_notice_a_mount_at_once_both_go_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FilesystemDriver(root)
    (point := root / layout.REPOSITORIES).mkdir(parents=True)
    both = threading.Barrier(2)

    real = os.rename

    def rename(source: str, target: str) -> None:
        try:
            real(source, target)
        except OSError:
            both.wait(10)  # the two fail at the same moment
            raise

    monkeypatch.setattr(os, "rename", rename)
    tags = [layout.tag_current_link(RepositoryName("team/app"), Tag(tag)) for tag in ("a", "b")]
    with tmpfs(point), ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda tag: driver.write(tag, b"sha256:"), tags))
        assert [driver.read(tag) for tag in tags] == [b"sha256:"] * 2


def test_marks_and_empty_directories_beside_the_blobs_can_be_removed(tree: Path) -> None:
    driver = FilesystemDriver(tree)
    with leases.marks_of_touches(driver):
        digest = push_blob(repository(registry_on(driver), "team/app"), b"content")
        assert leases.is_marked(driver, digest)
    assert not leases.is_marked(driver, digest)
    with pytest.raises(PathNotFound):
        driver.stat(layout.TOUCHED)
    for remove in (driver.delete, driver.discard):
        path = layout.blob(Digest.of(b"a push was cut off here"))
        driver.make_directory(path)
        remove(path)
        with pytest.raises(PathNotFound):
            driver.stat(path)
        with pytest.raises(PathNotFound):
            remove(path)
    driver.empty_trash()
    assert_nothing_in_the_way(tree)


@pytest.mark.parametrize("points", [(point,) for point in ABOVE_THE_BLOBS] + [(f"{V2}/blobs", f"{V2}/repositories")])
def test_two_containers_with_one_volume_share_locks_and_marks(root: Path, points: Sequence[str]) -> None:
    """Each has a root of its own: what must be seen by both is on the volume."""
    roots = [root / name for name in ("server", "collector")]
    with ExitStack() as stack:
        for number, point in enumerate(points):
            volume = root / f"volume-{number}"
            for directory in (volume, *(each / point for each in roots)):
                directory.mkdir(parents=True)
            for each in roots:
                stack.enter_context(bound(volume, each / point))
        server, collector = (FilesystemDriver(each) for each in roots)
        with leases.commit_section(server), pytest.raises(PathBusy):
            collector.lock("commit", exclusive=True, wait=False).__enter__()
        digest = push_blob(repository(registry_on(server), "team/app"), b"content")
        with leases.marks_of_touches(collector):
            server.mark(layout.touched(digest))
            assert leases.is_marked(collector, digest)
        upload = repository(registry_on(server), "team/app").start_upload(owner="alice")
        with pytest.raises(BlobUploadUnknown):
            repository(registry_on(collector), "team/app").upload(upload.id).check_owner("bob")


def test_the_room_is_that_of_the_file_systems_an_upload_needs(root: Path) -> None:
    with mounted(root, (f"{V2}/blobs", f"{V2}/repositories", f"{V2}/repositories/team")):
        driver = FilesystemDriver(root)
        team = layout.repository(RepositoryName("team/app"))
        sizes = {"blobs": "30m", "repositories": "20m", "repositories/team": "10m"}
        for name, size in sizes.items():
            resize(root / V2 / name, size)
        assert 9 * 2**20 < driver.available_bytes(team) <= 10 * 2**20
        assert 19 * 2**20 < driver.available_bytes() <= 20 * 2**20
        resize(root / V2 / "blobs", "5m")
        assert 4 * 2**20 < driver.available_bytes(team) <= 5 * 2**20


def test_an_upload_that_an_operator_removes_before_it_is_copied_is_unknown(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mounted(root, (f"{V2}/blobs",)):
        app = repository(registry_on(FilesystemDriver(root)), "team/app")
        upload = app.start_upload()
        assert isinstance(upload, LocalUpload)
        fsync = os.fsync

        def sync(handle: int) -> None:
            fsync(handle)
            shutil.rmtree(root / layout.upload(app.name, upload.id), ignore_errors=True)

        monkeypatch.setattr(os, "fsync", sync)
        with pytest.raises(BlobUploadUnknown):
            upload._commit_now(Digest.of(b"content"), b"content", None, None)
        assert_nothing_in_the_way(root)


def test_a_copy_for_which_there_is_no_room_leaves_the_upload_and_no_copy(root: Path) -> None:
    with mounted(root, (f"{V2}/blobs",)):
        driver = FilesystemDriver(root)
        app = repository(registry_on(driver), "team/app")
        content = os.urandom(3_000_000)

        async def fail() -> None:
            upload = await asyncio.to_thread(app.start_upload)
            await upload.append(stream(content))
            await asyncio.to_thread(resize, root / V2 / "blobs", "1m")
            with pytest.raises(OSError, match="No space left"):
                await upload.commit(Digest.of(content), stream())
            assert await asyncio.to_thread(upload.offset) == len(content)
            assert list((root / V2 / "blobs" / layout.MOUNTED / "tmp").iterdir()) == []
            await asyncio.to_thread(resize, root / V2 / "blobs", "64m")
            await upload.commit(Digest.of(content), stream())

        asyncio.run(fail())
        assert app.blob(Digest.of(content)).size == len(content)


@pytest.mark.parametrize(
    "name", ["a b", "back\\slash", "tab\there", "ümlaut", "new\nline", "return\rhere", "next\x85line"]
)
def test_mount_points_are_found_whatever_they_are_called(root: Path, name: str) -> None:
    (root / name).mkdir()
    with tmpfs(root / name):
        assert mount_points(str(root)) == [name]
    assert mount_points(str(root)) == []
    assert mount_points(str(root / name)) == []


def test_a_mount_point_that_another_mount_hides_is_none(root: Path) -> None:
    """The same directory has the same locks, whichever path leads to it."""
    volume = root.parent / "volume"
    for directory in (root / "docker", volume / "docker"):
        directory.mkdir(parents=True)
    with tmpfs(root / "docker"), bound(volume, root):
        assert mount_points(str(root)) == []
        assert FilesystemDriver(root).private_directory_of(layout.LOCKS) == FilesystemDriver(
            volume
        ).private_directory_of(layout.LOCKS)


def test_what_is_in_a_lower_layer_of_an_overlay_can_be_deleted(root: Path) -> None:
    lower, scratch, upper = (root.parent / name for name in ("lower", "scratch", "upper"))
    for directory in (lower, scratch, upper):
        directory.mkdir()
    push_image(repository(registry_on(FilesystemDriver(lower)), "team/app"), KEPT, "1.0", "1.1")
    push_image(repository(registry_on(FilesystemDriver(lower)), "team/app"), GARBAGE, "old")
    with overlay(lower, upper, scratch):
        driver = FilesystemDriver(upper)
        app = repository(registry_on(driver), "team/app")
        app.delete_tag(Tag("1.1"))
        app.delete_manifest(Digest(GARBAGE.digest))
        assert tagged_images(app) == {"1.0": KEPT.digest}
        report = collect(driver, Options(grace=0))
        assert report.skipped == []
        assert report.blobs_removed == 1 + len({*GARBAGE.blobs} - {*KEPT.blobs})
        assert not (upper / layout.blob(Digest(GARBAGE.digest))).exists()
        assert pull(app, KEPT)
        app.unlink_blob(Digest.of(KEPT.blobs[0]))
        with pytest.raises(BlobUnknown):
            app.blob(Digest.of(KEPT.blobs[0]))
