"""Properties that only a directory has: symbolic links, other processes, names of any bytes."""

import asyncio
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.local.syscalls import counts_directories, mount_id, times_of
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import PathBusy, PathNotFound
from pyregistry.storage.seams.sources import LocalFile
from tests.processes import SOURCE_TREE, missing
from tests.storage.mounts import file_system, network, tmpfs
from tests.storage.paths import at, content_of

SHORT = 0.05
PROGRAM = """
import asyncio, sys
from pathlib import Path
from pyregistry.storage.local.filesystem import FilesystemDriver
from tests.storage.paths import at
driver = FilesystemDriver(Path(sys.argv[1]))
def wait():
    print("holding", flush=True)
    sys.stdin.read()
async def append():
    async with driver.appender(at("a"), wait=5) as appender:
        await appender.write(b"by another process")
        wait()
"""


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_bytes(b"secret")
    return path


@contextmanager
def another_process(root: Path, code: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds something until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM + code, str(root)],
        cwd=SOURCE_TREE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        yield process


def test_a_symbolic_link_is_read_through_and_keeps_its_own_time(filesystem: FilesystemDriver, outside: Path) -> None:
    filesystem.make_directory(at("a"))
    path, file = filesystem.root / at("a", "link"), outside / "secret"
    path.symlink_to(file)
    assert filesystem.read(at("a", "link")) == content_of(filesystem.source(at("a", "link"))) == b"secret"
    before = file.stat()
    filesystem.set_mtime(at("a", "link"), 7)
    looks = filesystem.stat(at("a", "link"))
    assert (looks.is_file, looks.size, looks.modified_ns, looks.version[0]) == (True, 6, 7, path.lstat().st_ino)
    assert (looks.content_id, times_of(looks)) == (before.st_ino, (7, before.st_mtime_ns))
    assert dict(filesystem.scan(layout.REPOSITORIES, "link")) == {"a": looks}
    assert file.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("leads_to", ["nowhere", "link", ".", "secret/below"])
def test_a_symbolic_link_that_leads_to_no_file_is_there_and_has_no_content(
    filesystem: FilesystemDriver, outside: Path, leads_to: str
) -> None:
    filesystem.make_directory(at("a"))
    path = filesystem.root / at("a", "link")
    path.symlink_to(path if leads_to == "link" else outside / leads_to)
    for look in (filesystem.read, filesystem.source):
        with pytest.raises(PathNotFound):
            look(at("a", "link"))
    assert not filesystem.stat(at("a", "link")).is_file
    assert [(name, looks is not None) for name, looks in filesystem.scan(layout.REPOSITORIES, "link")] == [("a", True)]


@pytest.mark.parametrize("directly", [True, False])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(
    filesystem: FilesystemDriver, outside: Path, *, directly: bool
) -> None:
    filesystem.make_directory(at("a"))
    path = filesystem.root / at("a", "link")
    os.mkfifo(path if directly else outside / "pipe")
    if not directly:
        path.symlink_to(outside / "pipe")
    for look in (filesystem.read, filesystem.source):
        with pytest.raises(PathNotFound):
            look(at("a", "link"))


def test_a_source_whose_symbolic_link_became_a_loop_is_gone(filesystem: FilesystemDriver, outside: Path) -> None:
    filesystem.make_directory(at("a"))
    path = filesystem.root / at("a", "link")
    path.symlink_to(outside / "secret")
    source = filesystem.source(at("a", "link"))
    path.unlink()
    path.symlink_to("link")
    with pytest.raises(PathNotFound):
        content_of(source)


async def test_a_symbolic_link_is_not_appended_to(filesystem: FilesystemDriver, outside: Path) -> None:
    (filesystem.root / "docker/registry/v2/repositories").mkdir(parents=True)
    (filesystem.root / at("a")).symlink_to(outside / "secret")
    for create in (True, False):
        with pytest.raises(PathNotFound):
            async with filesystem.appender(at("a"), wait=0, create=create):
                pytest.fail("the link was followed")
    assert (outside / "secret").read_bytes() == b"secret"


def test_symbolic_links_are_left_out_of_a_listing(filesystem: FilesystemDriver, outside: Path) -> None:
    filesystem.write(at("a", "file"), b"")
    for name, target in (("directory", outside), ("secret", outside / "secret"), ("dangling", outside / "nothing")):
        (filesystem.root / at("a", name)).symlink_to(target)
    assert list(filesystem.children(at("a"))) == ["file"]


def test_a_write_replaces_a_symbolic_link_and_not_its_target(filesystem: FilesystemDriver, outside: Path) -> None:
    filesystem.make_directory(at("a"))
    (filesystem.root / at("a", "link")).symlink_to(outside / "secret")
    filesystem.write(at("a", "link"), b"new")
    assert filesystem.read(at("a", "link")) == b"new"
    assert (outside / "secret").read_bytes() == b"secret"


@pytest.mark.parametrize("target", [".", "secret"])
def test_a_deletion_removes_a_symbolic_link_and_not_its_target(
    filesystem: FilesystemDriver, outside: Path, target: str
) -> None:
    filesystem.make_directory(at("a"))
    (filesystem.root / at("a", "link")).symlink_to(outside / target)
    filesystem.delete(at("a", "link"))
    assert list(filesystem.children(layout.trash(layout.PRIVATE))) == []
    assert not (filesystem.root / at("a", "link")).is_symlink()
    assert (outside / "secret").read_bytes() == b"secret"


def test_a_deletion_does_not_follow_symbolic_links_further_down(filesystem: FilesystemDriver, outside: Path) -> None:
    filesystem.make_directory(at("a", "b"))
    (filesystem.root / at("a", "b", "link")).symlink_to(outside)
    filesystem.delete(at("a"))
    assert (outside / "secret").read_bytes() == b"secret"


def test_a_deletion_leaves_nothing_in_the_trash(filesystem: FilesystemDriver) -> None:
    filesystem.write(at("a", "b", "c"), b"x")
    filesystem.write(at("d"), b"x")
    filesystem.delete(at("a"))
    filesystem.delete(at("d"))
    assert list((filesystem.root / layout.trash(layout.PRIVATE)).iterdir()) == []


def test_names_of_bytes_that_are_no_text_are_listed_and_deleted(filesystem: FilesystemDriver) -> None:
    filesystem.write(at("a", "z"), b"")
    Path(os.fsdecode(os.fsencode(filesystem.root / at("a")) + b"/\xff")).write_bytes(b"junk")
    junk = os.fsdecode(b"\xff")
    assert list(filesystem.children(at("a"))) == ["z", junk]
    filesystem.delete(at("a", junk))
    assert list(filesystem.children(at("a"))) == ["z"]


@pytest.mark.parametrize("name", ["a" * 256, "a" * 5_000], ids=["above NAME_MAX", "above PATH_MAX"])
def test_a_name_that_is_too_long_is_not_there(filesystem: FilesystemDriver, name: str) -> None:
    for look in (filesystem.read, filesystem.stat, filesystem.source, filesystem.delete):
        with pytest.raises(PathNotFound):
            look(at(name))
    assert list(filesystem.children(at(name))) == []


def test_the_source_of_a_file_is_the_file_itself(filesystem: FilesystemDriver) -> None:
    filesystem.write(at("a"), b"content")
    assert filesystem.source(at("a")) == LocalFile(filesystem.root / at("a"), 7)


def test_two_drivers_on_one_directory_see_the_same_in_one_epoch(root: Path) -> None:
    first, second = FilesystemDriver(root), FilesystemDriver(root)
    first.write(at("a"), b"content")
    assert content_of(second.source(at("a"))) == b"content"
    assert first.epoch == second.epoch
    assert first.epoch.startswith(Path("/proc/sys/kernel/random/boot_id").read_text().strip())


def test_another_mount_at_the_same_place_is_another_epoch(root: Path) -> None:
    if not mount_id(str(root)):
        missing("this kernel does not tell two mounts apart (Linux 6.8)")
    driver = FilesystemDriver(root)
    epochs = [driver.epoch]
    for _ in range(2):
        with tmpfs(root):
            epochs.append(driver.epoch)
    assert len({*epochs}) == 3
    assert driver.epoch == epochs[0]


@pytest.mark.parametrize(("held", "wanted"), [(True, True), (True, False), (False, True)])
def test_an_exclusive_lock_is_held_by_one_process(root: Path, held: bool, wanted: bool) -> None:
    entered = threading.Event()

    def want() -> None:
        with FilesystemDriver(root).lock("x", exclusive=wanted):
            entered.set()

    thread = threading.Thread(target=want)
    with another_process(root, f'with driver.lock("x", exclusive={held}): wait()'):
        thread.start()
        assert not entered.wait(SHORT)
    assert entered.wait(10)
    thread.join()


def test_a_shared_lock_is_held_by_two_processes(root: Path) -> None:
    driver = FilesystemDriver(root)
    with another_process(root, 'with driver.lock("x", exclusive=False): wait()'), driver.lock("x", exclusive=False):
        pass


def test_a_lock_ends_with_the_process_that_holds_it(root: Path) -> None:
    with another_process(root, 'with driver.lock("x", exclusive=True): wait()') as process:
        process.kill()
        with FilesystemDriver(root).lock("x", exclusive=True):
            pass


async def test_while_another_process_appends_the_file_is_busy_and_free_when_it_is_killed(
    filesystem: FilesystemDriver,
) -> None:
    await asyncio.to_thread(filesystem.write, at("a"), b"")
    with another_process(filesystem.root, "asyncio.run(append())") as process:
        with pytest.raises(PathBusy):
            async with filesystem.appender(at("a"), wait=SHORT):
                pytest.fail("two processes hold the file")
        process.kill()
        async with filesystem.appender(at("a"), wait=5) as appender:
            assert appender.offset == len(b"by another process")


async def test_a_cancelled_write_is_finished_before_its_file_is_closed(filesystem: FilesystemDriver) -> None:
    await asyncio.to_thread(filesystem.make_directory, at("a"))
    pipe = filesystem.root / at("a", "pipe")  # a file whose write takes as long as the test wants
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    data = bytes(range(256)) * 4096

    async def append() -> None:
        async with filesystem.appender(at("a", "pipe"), wait=0) as appender:
            await appender.write(data)

    received = bytearray()
    try:
        writing = asyncio.create_task(append())
        while not select.select([reader], [], [], 0)[0]:
            await asyncio.sleep(0.001)
        writing.cancel()
        await asyncio.wait({writing}, timeout=SHORT)
        assert not writing.done()
        while len(received) < len(data) and not writing.done():
            if select.select([reader], [], [], 0)[0]:
                received += os.read(reader, len(data))
            await asyncio.sleep(0)
    finally:
        os.close(reader)
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert received == data


def test_a_private_file_is_its_owners_alone_whatever_was_there_before(filesystem: FilesystemDriver) -> None:
    filesystem.write(at("secret"), b"for all")
    filesystem.write(at("secret"), b"for us", private=True)
    assert (filesystem.root / at("secret")).stat().st_mode & 0o777 == 0o600
    assert filesystem.read(at("secret")) == b"for us"


def test_the_probe_works_while_a_garbage_collection_empties_the_trash(root: Path) -> None:
    class Emptied(FilesystemDriver):
        def write(self, path: StoragePath, data: bytes, **how: bool) -> None:
            super().write(path, data, **how)
            self.empty_trash()

    Emptied(root).probe()
    assert list(FilesystemDriver(root).children(layout.TMP)) == []


def test_symbolic_links_are_named_and_are_no_children(root: Path, filesystem: FilesystemDriver) -> None:
    filesystem.write(at("d", "file"), b"")
    for name in ("b", "a"):
        (root / at("d", name)).symlink_to("nowhere")
    assert filesystem.symbolic_links(at("d")) == ["a", "b"]
    assert list(filesystem.children(at("d"))) == ["file"]
    assert filesystem.symbolic_links(at("missing")) == filesystem.symbolic_links(at("d", "file")) == []


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        ("tmpfs", True),
        ("ext4", True),
        ("ext4 of whole seconds", True),
        ("xfs", True),
        ("btrfs", False),
        ("vfat", False),
    ],
)
def test_links_of_a_directory_are_believed_where_they_are_known_to_count_directories(
    tmp_path: Path, kind: str, counts: bool
) -> None:
    with file_system(kind, tmp_path) as mounted:
        assert counts_directories(str(mounted)) == counts
    assert not counts_directories(str(tmp_path / "absent"))


def test_links_of_a_directory_are_not_believed_of_what_another_machine_may_count(tmp_path: Path) -> None:
    with network(tmp_path, "virtiofs"):
        assert not counts_directories(str(tmp_path))


@pytest.mark.parametrize("links", [0, 1])
def test_a_large_directory_is_listed_without_its_symbolic_links(
    root: Path, filesystem: FilesystemDriver, links: int
) -> None:
    names = [f"{number:04d}" for number in range(1_500)]
    for name in names:
        (root / at("many") / name).mkdir(parents=True)
    for number in range(links):
        (root / at("many") / f"link{number}").symlink_to(root)
    assert list(filesystem.children(at("many"))) == names
    assert list(filesystem.children(at("many"), "1400")) == names[1401:]
    assert filesystem.symbolic_links(at("many")) == [f"link{number}" for number in range(links)]
    if links:
        with pytest.raises(OSError, match="a symbolic link"):
            list(filesystem.children(at("many"), strict=True))
    else:
        assert list(filesystem.children(at("many"), strict=True)) == names
