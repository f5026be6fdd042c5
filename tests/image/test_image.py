"""The container image: built, run with the commands that people use, and pushed to from the same engine."""

import json
import os
from pathlib import Path

import pytest

from tests.engine.engine import Engine
from tests.image.conftest import BridgedDaemon
from tests.image.container import REGISTRY, get, push_something, running


def test_image_pushed_to_the_container_comes_back_and_is_in_catalog_and_tags(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path, tmp_path: Path
) -> None:
    with running(docker, bridged, "--restart=always", "-v", f"{volume}:/var/lib/registry", image):
        pushed = push_something(docker, tmp_path, "team/app:1.0")
        docker.run("pull", f"{REGISTRY}/team/app:1.0")
        assert docker.image_id(f"{REGISTRY}/team/app:1.0") == pushed
        assert json.loads(get(bridged, "/v2/_catalog")) == {"repositories": ["team/app"]}
        assert json.loads(get(bridged, "/v2/team/app/tags/list")) == {"name": "team/app", "tags": ["1.0"]}
        assert (volume / "docker/registry/v2/repositories/team/app/_manifests/tags/1.0/current/link").is_file()
        assert docker.run("exec", "registry", "ls", "/var/lib/registry/docker/registry/v2/repositories") == "team\n"
    docker.forget(f"{REGISTRY}/team/app:1.0")


def test_no_process_of_the_service_runs_as_root(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path
) -> None:
    with running(docker, bridged, "-v", f"{volume}:/var/lib/registry", image):
        pids = [line.split()[1] for line in docker.run("top", "registry").splitlines()[1:]]
        assert len(pids) >= 2
        assert {Path(f"/proc/{pid}").stat().st_uid for pid in pids} == {volume.stat().st_uid}
        assert volume.stat().st_uid != 0


def test_container_runs_as_the_user_that_it_is_given(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path, tmp_path: Path
) -> None:
    os.chown(volume, 4321, 4321)
    with running(docker, bridged, "--user", "4321:4321", "-v", f"{volume}:/var/lib/registry", image):
        push_something(docker, tmp_path, "app")
    owners = {path.stat().st_uid for path in volume.rglob("*")}
    assert owners == {4321}


def test_volume_that_the_cncf_image_wrote_as_root_can_be_pushed_to(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path, tmp_path: Path
) -> None:
    (volume / "docker/registry/v2/repositories/old/_layers").mkdir(parents=True)
    with running(docker, bridged, "-v", f"{volume}:/var/lib/registry", image):
        push_something(docker, tmp_path, "old")
        assert json.loads(get(bridged, "/v2/_catalog")) == {"repositories": ["old"]}


@pytest.mark.parametrize(
    "mounted", ["/etc/docker/registry/config.yml", "/etc/distribution/config.yml"], ids=["of 2.8", "of 3.x"]
)
def test_config_mounted_at_the_path_of_either_cncf_image_is_used(
    docker: Engine, bridged: BridgedDaemon, image: str, tmp_path: Path, mounted: str
) -> None:
    config = tmp_path / "config.yml"
    config.write_text("{version: 0.1, storage: inmemory, http: {addr: ':5000', headers: {X-Mine: ['yes']}}}")
    with running(docker, bridged, "-v", f"{config}:{mounted}", image):
        headers = bridged.inside.run("curl", "--silent", "--head", f"http://{REGISTRY}/v2/")
        assert "X-Mine: yes" in headers


def test_stop_is_graceful_and_the_exit_status_is_0(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path
) -> None:
    with running(docker, bridged, "-v", f"{volume}:/var/lib/registry", image):
        docker.run("stop", "--time", "8", "registry")
        assert docker.run("inspect", "--format", "{{.State.ExitCode}}", "registry").strip() == "0"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["--version"], "/usr/local/bin/registry pyregistry ", id="an option goes to the command"),
        pytest.param(["registry", "--version"], "/usr/local/bin/registry pyregistry ", id="the CNCF command's name"),
        pytest.param(["help"], "Usage: registry ", id="help goes to the command"),
        pytest.param(["serve", "--help"], "Usage: registry serve ", id="a command goes to the command"),
        pytest.param(["pyregistry", "--version"], "pyregistry ", id="our command's name"),
        pytest.param(["echo", "hello"], "hello", id="anything else is run as it is"),
    ],
)
def test_arguments_follow_the_rules_of_the_official_image(
    docker: Engine, image: str, arguments: list[str], expected: str
) -> None:
    assert docker.run("run", "--rm", image, *arguments).startswith(expected)


def test_image_adds_less_than_60_mb_to_its_base(docker: Engine, image: str, base: str) -> None:
    sizes = [int(docker.run("image", "inspect", "--format", "{{.Size}}", name)) for name in (image, base)]
    assert sizes[0] - sizes[1] < 60_000_000
