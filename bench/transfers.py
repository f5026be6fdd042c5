"""Pushes and pulls of blobs and whole images, and their memory."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bench.environment import Environment
from bench.loads import LoadError
from bench.usage import memory_of
from tests.engine.images import oci_image, unique, write_layout

MIB = 1024 * 1024
GIB = 1024 * MIB
_PARTS = 8


def push(count: int, size: int) -> Callable[[Environment], float]:
    """Measure seconds to push so many blobs at once."""

    def measure(env: Environment) -> float:
        result = env.programs.run("push", env.server.url, "app", count, size)
        env.drop(result["digests"])
        env.load = result["load"]  # without the hashes, computed before its clock starts
        return float(result["seconds"])

    return measure


def prepare_blob(env: Environment) -> None:
    """Push a blob of 1 GiB."""
    env.known["big"] = env.programs.run("push", env.server.url, "app", 1, GIB)["digests"][0]


def pull(count: int) -> Callable[[Environment], float]:
    """Measure GB a second of so many pulls of the blob at once."""

    def measure(env: Environment) -> float:
        result = env.programs.run("pull", env.server.url, "app", count, env.known["big"])
        return float(result["bytes"] / result["seconds"] / 1e9)

    return measure


def write_layers(env: Environment) -> None:
    """Write a new image for crane."""
    shutil.rmtree(env.workspace / "layout", ignore_errors=True)
    write_layout(env.workspace / "layout", oci_image([10 * 1024] * 100))


def crane_push(env: Environment) -> float:
    """Measure seconds of a push with crane."""
    source, target = env.workspace / "layout", f"{env.server.host}/{unique('app')}:v1"
    begin = time.perf_counter()
    subprocess.run([str(env.programs.crane), "push", "--insecure", source, target], check=True, capture_output=True)
    return time.perf_counter() - begin


def _big_image(env: Environment) -> str:
    """Return the image of 8 layers of 128 MiB, built once."""
    assert env.engine is not None
    name = "bench/big:v1"
    if not env.engine.run("image", "ls", "--quiet", name).strip():
        context = env.workspace.parent / "context"
        context.mkdir()
        for number in range(_PARTS):
            with Path("/dev/urandom").open("rb") as source, (context / f"layer{number}").open("wb") as target:
                for _ in range(GIB // _PARTS // MIB):
                    target.write(source.read(MIB))
        env.engine.build(name, context)
        shutil.rmtree(context)
    return name


def prepare_docker_push(env: Environment) -> None:
    """Empty the registry, and give the engine the image."""
    assert env.engine is not None
    env.start_clean()
    env.engine.run("tag", _big_image(env), f"{env.server.host}/app:v1")


def docker_push(env: Environment) -> float:
    """Measure seconds of a push; the engine's output proves that it sent the layers."""
    assert env.engine is not None
    begin = time.perf_counter()
    said = env.engine.run("push", f"{env.server.host}/app:v1")
    seconds = time.perf_counter() - begin
    if said.count(": Pushed") != _PARTS + 1:  # and busybox
        raise LoadError(f"docker push sent other layers than it should: {said}")
    return seconds


def prepare_docker_pull(env: Environment) -> None:
    """Push the image to the registry."""
    prepare_docker_push(env)
    docker_push(env)


def forget_images(env: Environment) -> None:
    """Remove all names of these layers from the engine, or it would keep them."""
    assert env.engine is not None
    names = env.engine.run("image", "ls", "--quiet", "--no-trunc").split()
    if names:
        env.engine.forget(*dict.fromkeys(names))


def docker_pull(env: Environment) -> float:
    """Measure seconds of a pull, including unpacking."""
    assert env.engine is not None
    begin = time.perf_counter()
    said = env.engine.run("pull", f"{env.server.host}/app:v1")
    seconds = time.perf_counter() - begin
    if said.count(": Pull complete") != _PARTS + 1:
        raise LoadError(f"docker pull fetched other layers than it should: {said}")
    return seconds


def memory(count: int, size: int) -> Callable[[Environment], float]:
    """Measure the peak memory in MiB of all processes, during pushes of so many blobs to a new server."""

    def measure(env: Environment) -> float:
        peak = 0
        done = threading.Event()

        def sample() -> None:
            nonlocal peak
            while not done.wait(0.05):
                peak = max(peak, memory_of(env.server.pid))

        sampling = threading.Thread(target=sample)
        sampling.start()
        try:
            push(count, size)(env)
        finally:
            done.set()
            sampling.join()
        return peak / MIB

    return measure
