"""The docker engine: what its users do all day, with one image of a GiB among them."""

import contextlib
import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.engine.engine import Engine
from tests.engine.images import unique
from tests.engine.wire import Wire
from tests.processes import Server, wait_until

MIB = 1 << 20
BIG_LAYER = 1024 * MIB  # as pushed: random blocks do not compress
HALF_LAYER = 256 * MIB  # takes docker some seconds to compress and push
PUSHES_AT_ONCE = 8


def write_blocks(path: Path, size: int) -> Path:
    """A file of `size` bytes made of one random MiB again and again, which gzip's window does not notice."""
    block = os.urandom(MIB)
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(block)
    return path


def context(directory: Path, **sizes: int) -> Path:
    """A build context with files of these sizes, a layer each."""
    directory.mkdir()
    for name, size in sizes.items():
        (directory / name).write_bytes(secrets.token_bytes(size))
    return directory


def growing(registry: Server, repository: str) -> int:
    """The bytes in the largest upload of a repository that is not complete yet."""
    uploads = registry.tree / "repositories" / repository / "_uploads"
    sizes = [0]
    for data in uploads.glob("*/data"):
        with contextlib.suppress(FileNotFoundError):  # it is complete
            sizes.append(data.stat().st_size)
    return max(sizes)


@pytest.mark.client("docker", "push")
@pytest.mark.client("docker", "pull")
@pytest.mark.client("docker", "run")
def test_image_with_a_layer_of_one_gib_comes_back_whole(registry: Server, docker: Engine, tmp_path: Path) -> None:
    name = f"{registry.host}/{unique('docker/big')}:1"
    files = context(tmp_path / "context", small=1000, middle=5 * MIB)
    write_blocks(files / "big", BIG_LAYER)
    before = docker.build(name, files)
    (files / "big").unlink()
    sums = docker.execute(name, "sha256sum", "/small", "/middle", "/big")
    docker.run("push", name)
    docker.forget(name)
    docker.run("pull", name)
    assert docker.image_id(name) == before
    assert docker.execute(name, "sha256sum", "/small", "/middle", "/big") == sums
    docker.forget(name)


@pytest.mark.client("docker", "resume")
def test_push_killed_half_way_succeeds_when_repeated(
    registry: Server, wire: Wire, docker: Engine, tmp_path: Path
) -> None:
    repository = unique("docker/killed")
    name = f"{registry.host}/{repository}:1"
    files = context(tmp_path / "context", small=1000)
    write_blocks(files / "half", HALF_LAYER)
    before = docker.build(name, files)
    with docker.start("push", name) as push:
        wait_until(lambda: growing(registry, repository) > HALF_LAYER // 4, "a quarter of the layer is there")
        push.kill()
    wire.manifest(repository, "1").must(404)
    docker.run("push", name)
    docker.forget(name)
    docker.run("pull", name)
    assert docker.image_id(name) == before
    docker.forget(name)


@pytest.mark.client("docker", "tag")
@pytest.mark.client("docker", "push again")
def test_push_of_a_second_tag_finds_every_layer_there(registry: Server, docker: Engine, tmp_path: Path) -> None:
    name = f"{registry.host}/{unique('docker/tags')}"
    docker.build(f"{name}:1", context(tmp_path / "context", a=9000, b=20))
    docker.run("push", f"{name}:1")
    docker.run("tag", f"{name}:1", f"{name}:2")
    output = docker.run("push", f"{name}:2")
    assert output.count("Layer already exists") == 3, output
    assert "Pushed" not in output


@pytest.mark.client("docker", "copy")
def test_push_to_another_repository_mounts_the_layers(
    registry: Server, wire: Wire, docker: Engine, tmp_path: Path
) -> None:
    first, second = unique("docker/first"), unique("docker/second")
    docker.build(f"{registry.host}/{first}:1", context(tmp_path / "context", a=9000, b=2_000_000))
    docker.run("push", f"{registry.host}/{first}:1")
    docker.run("tag", f"{registry.host}/{first}:1", f"{registry.host}/{second}:1")
    output = docker.run("push", f"{registry.host}/{second}:1")
    assert output.count(f"Mounted from {first}") >= 2, output  # busybox may come from another test's
    assert output.count("Mounted from") == 3, output
    assert wire.content(first) == wire.content(second)


@pytest.mark.client("docker", "pull by digest")
def test_image_is_pulled_by_digest(registry: Server, wire: Wire, docker: Engine, tmp_path: Path) -> None:
    repository = unique("docker/digest")
    name = f"{registry.host}/{repository}"
    before = docker.build(f"{name}:1", context(tmp_path / "context", a=9000))
    output = docker.run("push", f"{name}:1")
    digest = wire.digest(repository, "1")
    assert f"1: digest: {digest} size: " in output
    docker.forget(f"{name}:1")
    docker.run("pull", f"{name}@{digest}")
    assert docker.image_id(f"{name}@{digest}") == before


@pytest.mark.client("docker", "push")
@pytest.mark.client("docker", "pull")
def test_eight_pushes_at_once_all_come_back(registry: Server, docker: Engine, tmp_path: Path) -> None:
    names = [f"{registry.host}/{unique('docker/many')}:1" for _ in range(PUSHES_AT_ONCE)]
    before = {
        name: docker.build(name, context(tmp_path / f"context{number}", a=500_000, b=3 * MIB))
        for number, name in enumerate(names)
    }
    with ThreadPoolExecutor(PUSHES_AT_ONCE) as threads:
        list(threads.map(lambda name: docker.run("push", name), names))
        docker.forget(*names)
        list(threads.map(lambda name: docker.run("pull", name), names))
    assert {name: docker.image_id(name) for name in names} == before


@pytest.mark.client("docker", "push")
def test_eight_pushes_of_one_image_at_once_all_succeed(
    registry: Server, wire: Wire, docker: Engine, tmp_path: Path
) -> None:
    repositories = [unique("docker/same") for _ in range(PUSHES_AT_ONCE)]
    names = [f"{registry.host}/{repository}:1" for repository in repositories]
    docker.build(names[0], context(tmp_path / "context", a=500_000, b=3 * MIB))
    for name in names[1:]:
        docker.run("tag", names[0], name)
    with ThreadPoolExecutor(PUSHES_AT_ONCE) as threads:
        list(threads.map(lambda name: docker.run("push", name), names))
    assert len({wire.digest(repository, "1") for repository in repositories}) == 1


@pytest.mark.client("docker", "unknown name")
def test_deleted_tag_is_not_found(registry: Server, wire: Wire, docker: Engine, tmp_path: Path) -> None:
    repository = unique("docker/deleted")
    name = f"{registry.host}/{repository}"
    docker.build(f"{name}:1", context(tmp_path / "context", a=9000))
    docker.run("push", f"{name}:1")
    docker.run("tag", f"{name}:1", f"{name}:2")
    docker.run("push", f"{name}:2")
    wire.request("DELETE", f"/v2/{repository}/manifests/1").must(202)
    assert "not found" in docker.fails("pull", f"{name}:1")
    docker.run("pull", f"{name}:2")
    assert list(wire.content(repository)) == ["2"]
