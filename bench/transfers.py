"""Blobs and whole images that are pushed and pulled, and the memory that it takes."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bench.bed import Bed
from bench.loads import LoadError
from bench.usage import memory_of
from tests.engine.images import oci_image, unique, write_layout

MIB = 1024 * 1024
GIB = 1024 * MIB
_PARTS = 8


def push(count: int, size: int) -> Callable[[Bed], float]:
    """Seconds for so many blobs at once."""

    def measure(bed: Bed) -> float:
        result = bed.programs.run("push", bed.server.url, "app", count, size)
        bed.drop(result["digests"])
        bed.load = result["load"]  # which hashes its blobs before its clock starts
        return float(result["seconds"])

    return measure


def prepare_blob(bed: Bed) -> None:
    """One blob of 1 GiB."""
    bed.known["big"] = bed.programs.run("push", bed.server.url, "app", 1, GIB)["digests"][0]


def pull(count: int) -> Callable[[Bed], float]:
    """GB a second of the blob, so many times at once."""

    def measure(bed: Bed) -> float:
        result = bed.programs.run("pull", bed.server.url, "app", count, bed.known["big"])
        return float(result["bytes"] / result["seconds"] / 1e9)

    return measure


def write_layers(bed: Bed) -> None:
    """The image that crane pushes next, which no registry has seen."""
    shutil.rmtree(bed.workspace / "layout", ignore_errors=True)
    write_layout(bed.workspace / "layout", oci_image([10 * 1024] * 100))


def crane_push(bed: Bed) -> float:
    """Seconds."""
    source, target = bed.workspace / "layout", f"{bed.server.host}/{unique('app')}:v1"
    begin = time.perf_counter()
    subprocess.run([str(bed.programs.crane), "push", "--insecure", source, target], check=True, capture_output=True)
    return time.perf_counter() - begin


def _big_image(bed: Bed) -> str:
    """The image of 8 layers of 128 MiB, built once for all."""
    assert bed.engine is not None
    name = "bench/big:v1"
    if not bed.engine.run("image", "ls", "--quiet", name).strip():
        context = bed.workspace.parent / "context"
        context.mkdir()
        for number in range(_PARTS):
            with Path("/dev/urandom").open("rb") as source, (context / f"layer{number}").open("wb") as target:
                for _ in range(GIB // _PARTS // MIB):
                    target.write(source.read(MIB))
        bed.engine.build(name, context)
        shutil.rmtree(context)
    return name


def prepare_docker_push(bed: Bed) -> None:
    """The registry is empty, and the engine has the image."""
    assert bed.engine is not None
    bed.start_clean()
    bed.engine.run("tag", _big_image(bed), f"{bed.server.host}/app:v1")


def docker_push(bed: Bed) -> float:
    """Seconds; what the engine says tells whether the layers were really sent."""
    assert bed.engine is not None
    begin = time.perf_counter()
    said = bed.engine.run("push", f"{bed.server.host}/app:v1")
    seconds = time.perf_counter() - begin
    if said.count(": Pushed") != _PARTS + 1:  # and busybox
        raise LoadError(f"docker push sent other layers than it should: {said}")
    return seconds


def prepare_docker_pull(bed: Bed) -> None:
    """The registry has the image."""
    prepare_docker_push(bed)
    docker_push(bed)


def forget_images(bed: Bed) -> None:
    """Every name of these layers, or they would still be there."""
    assert bed.engine is not None
    names = bed.engine.run("image", "ls", "--quiet", "--no-trunc").split()
    if names:
        bed.engine.forget(*dict.fromkeys(names))


def docker_pull(bed: Bed) -> float:
    """Seconds, unpacking included."""
    assert bed.engine is not None
    begin = time.perf_counter()
    said = bed.engine.run("pull", f"{bed.server.host}/app:v1")
    seconds = time.perf_counter() - begin
    if said.count(": Pull complete") != _PARTS + 1:
        raise LoadError(f"docker pull fetched other layers than it should: {said}")
    return seconds


def memory(count: int, size: int) -> Callable[[Bed], float]:
    """MiB of all processes at their peak, while so many blobs are pushed at once to a registry that just started."""

    def measure(bed: Bed) -> float:
        peak = 0
        done = threading.Event()

        def sample() -> None:
            nonlocal peak
            while not done.wait(0.05):
                peak = max(peak, memory_of(bed.server.pid))

        sampling = threading.Thread(target=sample)
        sampling.start()
        try:
            push(count, size)(bed)
        finally:
            done.set()
            sampling.join()
        return peak / MIB

    return measure
