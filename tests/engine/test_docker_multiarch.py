"""Manifest lists, as the docker command makes them."""

import os
from pathlib import Path

import pytest

from tests.engine.engine import Engine
from tests.engine.images import DOCKER_LIST, unique
from tests.engine.wire import Wire
from tests.processes import Server

PLATFORMS = ("amd64", "arm64")
INSECURE = "--insecure"


@pytest.fixture
def listed(registry: Server, docker: Engine, tmp_path: Path) -> tuple[str, dict[str, str]]:
    """The name of a pushed manifest list, and the id of its image for each platform."""
    name = f"{registry.host}/{unique('docker/list')}"
    ids = {}
    for platform in PLATFORMS:
        (tmp_path / platform).mkdir()
        (tmp_path / platform / "file").write_bytes(os.urandom(5000))
        ids[platform] = docker.build(f"{name}:{platform}", tmp_path / platform)
        docker.run("push", f"{name}:{platform}")
    docker.run("manifest", "create", INSECURE, f"{name}:list", *(f"{name}:{platform}" for platform in PLATFORMS))
    for platform in PLATFORMS:
        words = ["--os", "linux", "--arch", platform, f"{name}:list", f"{name}:{platform}"]
        docker.run("manifest", "annotate", *words)
    docker.run("manifest", "push", INSECURE, "--purge", f"{name}:list")
    docker.forget(*(f"{name}:{platform}" for platform in PLATFORMS))
    return f"{name}:list", ids


@pytest.mark.client("docker", "push an index")
def test_manifest_list_names_an_image_per_platform(
    registry: Server, wire: Wire, listed: tuple[str, dict[str, str]]
) -> None:
    repository = listed[0].removeprefix(f"{registry.host}/").removesuffix(":list")
    answer = wire.manifest(repository, "list").must(200)
    assert answer.headers["content-type"] == DOCKER_LIST
    found = {child["platform"]["architecture"]: child["digest"] for child in answer.json()["manifests"]}
    assert found == {platform: wire.digest(repository, platform) for platform in PLATFORMS}


@pytest.mark.client("docker", "pull an index")
@pytest.mark.parametrize("platform", PLATFORMS)
def test_pull_takes_the_image_of_its_platform(
    docker: Engine, listed: tuple[str, dict[str, str]], platform: str
) -> None:
    name, ids = listed
    docker.run("pull", "--platform", f"linux/{platform}", name)
    assert docker.image_id(name) == ids[platform]


@pytest.mark.client("docker", "inspect")
def test_manifest_inspect_reads_lists_and_images(docker: Engine, listed: tuple[str, dict[str, str]]) -> None:
    name, ids = listed
    children = docker.json("manifest", "inspect", INSECURE, name)["manifests"]
    assert [child["platform"]["architecture"] for child in children] == list(PLATFORMS)
    one = docker.json("manifest", "inspect", INSECURE, f"{name.removesuffix(':list')}:arm64")
    assert one["config"]["digest"] == ids["arm64"]
