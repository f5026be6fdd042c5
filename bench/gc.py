"""Compares garbage collection with the CNCF registries' own, on one generated tree, interleaved.

    python -m bench.gc speed [--medium disk] [--cold] [--rounds 3]  # dry and real runs, 20,000 images

    python -m bench.gc memory  # a million blobs

    python -m bench.gc load  # the p99 of pushes while it runs

Results are saved in bench/results/gc, for `make bench-report`. The programs are `docker-registry` (2.8.2) and
`cncf-registry` (3.1.1, `make clients`); a missing one is skipped with a message. A run that does not find the garbage
ends the bench. With `--cold` each run starts with an empty cache, which needs root.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import yaml

from bench.gc_report import BASE, print_row, save_figures
from bench.generated import GeneratedTree
from bench.results import OURS, REFERENCE, Figures, Target
from bench.usage import memory_of
from pyregistry.oci.digest import Digest
from tests.builders import image
from tests.engine.wire import Wire
from tests.processes import Server, pyregistry_server

REPOSITORIES, IMAGES_EACH, LOST_EVERY = 200, 106, 20
"""About 20,000 images and 127,000 blobs that are kept; a twentieth more is garbage."""
_FILES_OF_A_MILLION = 6_000_000
"""A tmpfs of 24 GB has three million by default: `mount -t tmpfs -o size=22g,nr_inodes=8m tmpfs DIRECTORY`."""
PROGRAMS = {
    OURS: [sys.executable, "-m", "pyregistry", "gc", "--grace", "0"],
    BASE: ["docker-registry", "garbage-collect"],
    REFERENCE: ["cncf-registry", "garbage-collect"],
}


class Times(NamedTuple):
    """Seconds of a run with all its processes."""

    wall: float
    cpu: float


def speed(directory: Path, rounds: int, *, cold: bool) -> list[Figures]:
    """Measure dry runs and real ones; before each real one the removed files are restored."""
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        tree, copy = Path(scratch) / "tree", Path(scratch) / "copy"
        generated = GeneratedTree(tree)
        generated.add_images(REPOSITORIES, IMAGES_EACH, lost_every=LOST_EVERY)
        print(f"{REPOSITORIES * IMAGES_EACH} images, {generated.blobs} blobs, on {directory}", flush=True)
        present = {name: command for name, command in PROGRAMS.items() if shutil.which(command[0])}
        dry: dict[str, list[Times]] = {name: [] for name in present}
        real: dict[str, list[Times]] = {name: [] for name in present}
        for turn in range(rounds):
            order = list(present)[turn % len(present) :] + list(present)[: turn % len(present)]
            for name in order:
                dry[name].append(_timed([*present[name], "--dry-run"], tree, cold=cold))
            for name in order:
                subprocess.run(["cp", "-a", "-n", f"{tree}/.", str(copy)], check=True)
                assert _count(copy) == generated.blobs
                real[name].append(_timed(present[name], copy, cold=cold))
                assert _count(copy) < generated.blobs * 0.97, f"{name} freed nothing"
    return [figures for what, times in (("dry", dry), ("real", real)) for figures in figures_of(what, times, cold=cold)]


def figures_of(what: str, times: Mapping[str, Sequence[Times]], *, cold: bool) -> Iterator[Figures]:
    """Yield wall-clock time, and processor time, which depends less on other load."""
    key, title = f"{what}{'-cold' if cold else ''}", f"{what} run{', nothing cached' if cold else ''}"
    wall = {name: [each.wall for each in of_it] for name, of_it in times.items()}
    cpu = {name: [each.cpu for each in of_it] for name, of_it in times.items()}
    yield Figures(key, title, "s", rate=False, target=Target("≤", 0.5), values=wall, reference=BASE)
    yield Figures(f"{key}-cpu", f"{title}, processor time", "s", rate=False, target=None, values=cpu, reference=BASE)


def memory(directory: Path) -> list[Figures]:
    """Measure the peak memory of all processes of a run on a million blobs."""
    if os.statvfs(directory).f_favail < _FILES_OF_A_MILLION:
        sys.exit(f"{directory} has no room for the {_FILES_OF_A_MILLION:,} files and directories: give another one")
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        generated = GeneratedTree(Path(scratch))
        generated.add_images(1_000, 167, lost_every=10)
        peak = 0
        with _config_of(Path(scratch)) as config, _started([*PROGRAMS[OURS], "--dry-run", config]) as running:
            while running.poll() is None:
                peak = max(peak, memory_of(running.pid))
                time.sleep(0.02)
        assert running.returncode == 0
    most = Target("≤", 200, absolute=True)
    title = f"memory of all its processes, {generated.blobs:,} blobs"
    return [Figures("memory", title, "MiB", False, most, {OURS: [peak / 2**20]}, reference=BASE)]


def load(directory: Path, rounds: int) -> list[Figures]:
    """Measure the p99 of whole pushes during collections, as a ratio to quiet ones."""
    ratios: list[float] = []
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        GeneratedTree(Path(scratch) / "data").add_images(100, 100, lost_every=5)
        with pyregistry_server(Path(scratch), pyregistry={"workers": 2}) as server:
            for turn in range(rounds):
                quiet = _p99(server, f"quiet{turn}")
                stop = threading.Event()
                collecting = threading.Thread(target=_collect_until, args=(server, stop))
                collecting.start()
                busy = _p99(server, f"busy{turn}")
                stop.set()
                collecting.join()
                print(f"push p99: quiet {quiet * 1000:.1f} ms, while collecting {busy * 1000:.1f} ms")
                ratios.append(busy / quiet)
    title, most = "p99 of pushes while it runs, by that of quiet ones", Target("≤", 2, absolute=True)
    return [Figures("load", title, "times", False, most, {OURS: ratios}, reference=BASE)]


def _collect_until(server: Server, stop: threading.Event) -> None:
    options = '{"grace": 3600, "delete_untagged": false, "dry_run": false}'
    command = [sys.executable, "-m", "pyregistry.gc", str(server.tree.parent.parent.parent), options]
    while not stop.is_set():
        subprocess.run(command, check=True, capture_output=True, env=server.env)


def _p99(server: Server, name: str, seconds: float = 15) -> float:
    times: list[float] = []
    end = time.monotonic() + seconds
    with Wire(server) as wire:
        number = 0
        while time.monotonic() < end:
            number += 1
            pushed = image(f"{name} {number}".encode())
            begin = time.monotonic()
            for blob in pushed.blobs:
                if wire.request("HEAD", f"/v2/load/{name}/blobs/{Digest.of(blob)}").status != 200:
                    wire.push_blob(f"load/{name}", blob)
            wire.push_manifest(f"load/{name}", f"v{number}", pushed.content)
            times.append(time.monotonic() - begin)
    return statistics.quantiles(times, n=100)[98]


def _timed(command: Sequence[str], tree: Path, *, cold: bool = False) -> Times:
    with _config_of(tree) as config:
        os.sync()  # so that writes of the tree are not measured
        if cold:
            Path("/proc/sys/vm/drop_caches").write_text("3")
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        with _started([*command, config]) as running:
            assert running.wait() == 0, f"{command[0]} failed"
        wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        return Times(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


@contextmanager
def _config_of(tree: Path) -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as config:
        storage = {"filesystem": {"rootdirectory": str(tree)}, "delete": {"enabled": True}}
        document = {"version": 0.1, "log": {"level": "error"}, "storage": storage, "http": {"addr": "127.0.0.1:1"}}
        yaml.safe_dump(document, config)
        config.flush()
        yield config.name


def _started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    env = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _count(tree: Path) -> int:
    return sum(1 for _ in (tree / "docker/registry/v2/blobs/sha256").glob("*/*/data"))


def main() -> None:
    """Measure, print and save the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "memory", "load"])
    parser.add_argument("--medium", choices=["tmpfs", "disk"], default="tmpfs", help="what the trees are on")
    parser.add_argument("--directory", type=Path, help="where that is mounted (/dev/shm, or the temporary directory)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="empty the cache before each run")
    given = parser.parse_args()
    directory = given.directory or Path("/dev/shm" if given.medium == "tmpfs" else tempfile.gettempdir())
    for name, (program, *_) in PROGRAMS.items():
        if not shutil.which(program):
            print(f"left out, not installed: {name}")
    if given.what == "speed":
        found = speed(directory, given.rounds, cold=given.cold)
    else:
        found = memory(directory) if given.what == "memory" else load(directory, given.rounds)
    for figures in found:
        print_row(figures)
    save_figures(given.medium, found)


if __name__ == "__main__":
    main()
