"""Figures of docs/sizing.md: memory, descriptors, processor time, files and bytes for each image.

python -m bench.sizing            # print them
python -m bench.sizing --write    # and write them into the page
"""

import argparse
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.usage import memory_of, processes_below, work_of
from tests.engine.images import Image, digest_of, oci_image
from tests.engine.wire import Wire
from tests.processes import Server, pyregistry_server, wait_until

PAGE = Path(__file__).parent.parent / "docs/sizing.md"
BEGIN, END = "<!-- sizing -->\n", "<!-- /sizing -->"
MIB = 1024 * 1024
_SAMPLE_SECONDS = 0.05

Row = tuple[str, str]


@dataclass
class Scale:
    """The amount of load; the page has the figures of the default."""

    pushes: int = 100
    """At the same time."""
    layer_bytes: int = 4 * MIB
    workers: tuple[int, int] = (1, 4)


@dataclass
class Peak:
    """The largest values seen while something ran."""

    memory: int = 0
    descriptors: int = 0


@contextmanager
def watched(server: Server) -> Iterator[Peak]:
    """Sample the server's processes until the block ends."""
    peak, ended = Peak(), threading.Event()

    def watch() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            peak.memory = max(peak.memory, memory_of(server.pid))
            peak.descriptors = max(peak.descriptors, most_descriptors(server))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def most_descriptors(server: Server) -> int:
    """Return the open descriptors of the process that has most of them."""
    found = 0
    for pid in processes_below(server.pid):
        try:
            found = max(found, len(os.listdir(f"/proc/{pid}/fd")))  # noqa: PTH208 - numbers, not paths
        except FileNotFoundError:  # it has ended
            continue
    return found


def idle_memory(directory: Path, workers: int) -> int:
    """Return the bytes of a server with this many workers before it had much to do."""
    with started(directory, workers) as server:
        wait_until(lambda: len(list(processes_below(server.pid))) > workers, "all workers run")
        with Wire(server) as wire:
            wire.push("app", "latest", oci_image())
        return memory_of(server.pid)


@contextmanager
def started(directory: Path, workers: int) -> Iterator[Server]:
    """Serve a directory of its own."""
    own = Path(tempfile.mkdtemp(dir=directory))
    with pyregistry_server(own, pyregistry={"workers": workers}, log={"level": "error"}) as server:
        yield server


@dataclass
class Load:
    """The figures of many pushes at the same time, and of pulling what was pushed."""

    before: int = 0
    peak: Peak = field(default_factory=Peak)
    push_seconds: float = 0
    """Of processor time for each image."""
    pull_seconds: float = 0


def load(directory: Path, scale: Scale) -> Load:
    """Push and pull images of one layer, all at the same time."""
    result = Load()
    images = [oci_image((scale.layer_bytes,)) for _ in range(scale.pushes)]

    def at_once(work: Callable[[Wire, int], None]) -> None:
        begin = threading.Barrier(scale.pushes)

        def one(number: int) -> None:
            with Wire(server) as wire:
                wire.request("GET", "/v2/").must(200)
                begin.wait(60)
                work(wire, number)

        with ThreadPoolExecutor(scale.pushes) as pool:
            list(pool.map(one, range(scale.pushes)))

    with started(directory, scale.workers[-1]) as server:
        result.before = memory_of(server.pid)
        spent = work_of(server.pid)
        with watched(server) as result.peak:
            at_once(lambda wire, number: wire.push(f"app{number}", "latest", images[number]))
        pushed = work_of(server.pid)
        at_once(lambda wire, number: pull(wire, f"app{number}", images[number]))
        result.push_seconds = (pushed - spent) / scale.pushes
        result.pull_seconds = (work_of(server.pid) - pushed) / scale.pushes
    return result


def pull(wire: Wire, name: str, image: Image) -> None:
    """Read the manifest and all blobs."""
    wire.manifest(name, "latest").must(200)
    for content in image.blobs:
        wire.request("GET", f"/v2/{name}/blobs/{digest_of(content)}").must(200)


@dataclass(frozen=True)
class Files:
    """Files and directories, and the bytes of the file system without those of the content."""

    inodes: int
    overhead: int


def files_of(directory: Path, layers: int) -> Files:
    """Push an image with so many layers of its own to a repository that is there; return what came."""
    with started(directory, 1) as server, Wire(server) as wire:
        tree = server.tree
        wire.push("app", "first", oci_image((100, 200)))
        image = oci_image([1000 + number for number in range(layers)])
        # The 256 directories of two digits are there after some thousand blobs.
        for content in (*image.blobs, image.manifest):
            (tree / "blobs/sha256" / digest_of(content).partition(":")[2][:2]).mkdir(exist_ok=True)
        before = _count(tree)
        wire.push("app", "second", image)
        after = _count(tree)
    blobs = sum(map(_blocks, (*image.blobs, image.manifest)))
    return Files(after.inodes - before.inodes, after.overhead - before.overhead - blobs)


def _count(tree: Path) -> Files:
    found = [path.lstat() for path in tree.rglob("*")]
    return Files(len(found), sum(each.st_blocks * 512 for each in found))


def _blocks(content: bytes) -> int:
    return -(-len(content) // 4096) * 4096


def rows(directory: Path, scale: Scale) -> list[Row]:
    """Measure everything; return the rows of the table."""
    few, many = (idle_memory(directory, workers) for workers in scale.workers)
    each = (many - few) / (scale.workers[1] - scale.workers[0])
    one, ten = files_of(directory, 1), files_of(directory, 10)
    loaded = load(directory, scale)
    pushes = f"{scale.pushes} pushes of {scale.layer_bytes // MIB} MiB at once, {scale.workers[-1]} workers"
    return [
        ("memory, one worker, idle", _mib(few)),
        ("memory, each worker more, idle", _mib(each)),
        (f"memory, {pushes}", f"{_mib(loaded.peak.memory)}, {_mib(loaded.before)} before"),
        (f"descriptors of one process, {pushes}", str(loaded.peak.descriptors)),
        ("processor time of one of these pushes", f"{loaded.push_seconds * 1000:.0f} ms"),
        ("processor time of one pull of the same", f"{loaded.pull_seconds * 1000:.0f} ms"),
        ("inodes of an image with one layer", str(one.inodes)),
        ("inodes of each layer more", f"{(ten.inodes - one.inodes) / 9:g}"),
        ("bytes of links and directories, image with one layer", _kib(one.overhead)),
        ("the same, each layer more", _kib((ten.overhead - one.overhead) / 9)),
    ]


def _mib(size: float) -> str:
    return f"{size / MIB:.0f} MiB"


def _kib(size: float) -> str:
    return f"{size / 1024:.0f} KiB"


def write(found: list[Row], page: Path = PAGE) -> None:
    """Replace the table of the page."""
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    table = "".join(f"| {name} | {value} |\n" for name, value in found)
    page.write_text(f"{before}{BEGIN}| | |\n|---|---|\n{table}{END}{after}")


def main() -> None:
    """Measure in a directory below TMPDIR, which should be on the kind of disk that counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into docs/sizing.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        found = rows(Path(directory), Scale())
    for name, value in found:
        print(f"{name}: {value}")
    if arguments.write:
        write(found)


if __name__ == "__main__":
    main()
