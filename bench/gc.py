"""Garbage collection against the CNCF registries' own, on one generated tree, in turn and interleaved.

    python -m bench.gc speed [--directory /dev/shm] [--rounds 3]    dry and real runs, 20,000 images
    python -m bench.gc memory                                       a million blobs
    python -m bench.gc load                                         the p99 of pushes while it runs

Names of programs: `docker-registry` (2.8.2) and `cncf-registry` (3.1.1, `make clients`); one that is not there is left
out, and said. A run that does not find the garbage ends the bench.
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
from pathlib import Path

import yaml

from bench.generated import GeneratedTree
from pyregistry.oci.digest import Digest
from tests.builders import image
from tests.engine.wire import Wire
from tests.processes import Server, pyregistry_server

REPOSITORIES, IMAGES_EACH, LOST_EVERY = 200, 106, 20
"""20,000 images and 127,000 blobs that live, or nearly; a twentieth more is garbage."""
BASE = "CNCF 2.8.2"
PROGRAMS = {
    "pyregistry": [sys.executable, "-m", "pyregistry", "gc", "--grace", "0"],
    BASE: ["docker-registry", "garbage-collect"],
    "CNCF 3.1.1": ["cncf-registry", "garbage-collect"],
}


def speed(directory: Path, rounds: int) -> None:
    """Seconds of dry runs and of real ones, each of which gets a copy of its own."""
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        tree = Path(scratch) / "tree"
        generated = GeneratedTree(tree)
        generated.add_images(REPOSITORIES, IMAGES_EACH, lost_every=LOST_EVERY)
        print(f"{REPOSITORIES * IMAGES_EACH} images, {generated.blobs} blobs, on {directory}")
        present = {name: command for name, command in PROGRAMS.items() if shutil.which(command[0])}
        for name in PROGRAMS.keys() - present.keys():
            print(f"left out, not installed: {name}")
        dry: dict[str, list[float]] = {name: [] for name in present}
        real: dict[str, list[float]] = {name: [] for name in present}
        for turn in range(rounds):
            order = list(present)[turn % len(present) :] + list(present)[: turn % len(present)]
            for name in order:
                dry[name].append(_timed([*present[name], "--dry-run"], tree))
            for name in order:
                copy = Path(scratch) / "copy"
                subprocess.run(["cp", "-a", str(tree), str(copy)], check=True)
                before = _count(copy)
                real[name].append(_timed(present[name], copy))
                assert _count(copy) < before * 0.97, f"{name} freed nothing"
                shutil.rmtree(copy)
        for what, seconds in (("dry run", dry), ("real run", real)):
            for line in lines(what, seconds):
                print(line)


def lines(what: str, seconds: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """What the runs of each program took; a ratio is that of runs of the same round."""
    for name, times in seconds.items():
        line = (
            f"{what:9} {name:11} median {statistics.median(times):6.2f} s  min {min(times):6.2f}  max {max(times):6.2f}"
        )
        if BASE in seconds:
            ratios = [mine / theirs for mine, theirs in zip(times, seconds[BASE], strict=True)]
            line += f"  ratio to 2.8.2 {statistics.median(ratios):.2f}"
        yield line


def memory(directory: Path) -> None:
    """The most memory that a run on a million blobs needs."""
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        generated = GeneratedTree(Path(scratch))
        generated.add_images(1_000, 167, lost_every=10)
        seconds = _timed([*PROGRAMS["pyregistry"], "--dry-run"], Path(scratch))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"{generated.blobs} blobs: {peak:.0f} MiB at most, {seconds:.1f} s")


def load(directory: Path) -> None:
    """The p99 of whole pushes, quiet and with one collection after the other beside."""
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        GeneratedTree(Path(scratch) / "data").add_images(100, 100, lost_every=5)
        with pyregistry_server(Path(scratch), pyregistry={"workers": 2}) as server:
            for turn in range(3):
                quiet = _p99(server, f"quiet{turn}")
                stop = threading.Event()
                collecting = threading.Thread(target=_collect_until, args=(server, stop))
                collecting.start()
                busy = _p99(server, f"busy{turn}")
                stop.set()
                collecting.join()
                print(
                    f"push p99: quiet {quiet * 1000:.1f} ms, while collecting {busy * 1000:.1f} ms: {busy / quiet:.2f}"
                )


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


def _timed(command: Sequence[str], tree: Path) -> float:
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as config:
        storage = {"filesystem": {"rootdirectory": str(tree)}, "delete": {"enabled": True}}
        document = {"version": 0.1, "log": {"level": "error"}, "storage": storage, "http": {"addr": "127.0.0.1:1"}}
        yaml.safe_dump(document, config)
        config.flush()
        begin = time.monotonic()
        subprocess.run(
            [*command, config.name],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        )
        return time.monotonic() - begin


def _count(tree: Path) -> int:
    return sum(1 for _ in (tree / "docker/registry/v2/blobs/sha256").glob("*/*/data"))


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "memory", "load"])
    parser.add_argument("--directory", type=Path, default=Path("/dev/shm"), help="where the trees are made")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.what == "speed":
        speed(given.directory, given.rounds)
    else:
        {"memory": memory, "load": load}[given.what](given.directory)


if __name__ == "__main__":
    main()
