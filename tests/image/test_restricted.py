"""The container under the restrictions that operators and Kubernetes put on it: push, pull and garbage collection."""

import os
from pathlib import Path

import pytest

from tests.engine.engine import Engine
from tests.image.conftest import BridgedDaemon
from tests.image.container import REGISTRY, logs, push_something, running
from tests.processes import require

USER, GROUP = 1234, 2000
AS_USER = ["--user", f"{USER}:{USER}"]
NO_RIGHTS = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
METRICS = [
    "-p",
    "5001:5001",
    "-e",
    "REGISTRY_HTTP_DEBUG_ADDR=:5001",
    "-e",
    "REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED=true",
]
COLLECT = ["exec", "registry", "registry", "garbage-collect", "--delete-untagged", "/etc/docker/registry/config.yml"]
RESTRICTIONS = {
    "a read-only root": ["--read-only"],
    "a read-only root and no shared memory": ["--read-only", "--ipc", "none"],
    "no capabilities": ["--cap-drop", "ALL"],
    "another user": AS_USER,
    # readOnlyRootFilesystem, runAsNonRoot, capabilities.drop, allowPrivilegeEscalation and fsGroup of Kubernetes.
    "a restricted pod": ["--read-only", *AS_USER, "--group-add", str(GROUP), *NO_RIGHTS],
}


def prepare(volume: Path, options: list[str]) -> None:
    """Give the volume the owner and the rights that go with these options."""
    if "--group-add" in options:
        os.chown(volume, 0, GROUP)
        volume.chmod(0o2775)
    elif "--user" in options:
        os.chown(volume, USER, USER)


@pytest.mark.parametrize("metrics", [[], METRICS], ids=["without metrics", "with metrics"])
@pytest.mark.parametrize("options", RESTRICTIONS.values(), ids=RESTRICTIONS)
def test_an_image_is_pushed_pulled_and_collected(
    docker: Engine,
    bridged: BridgedDaemon,
    image: str,
    volume: Path,
    tmp_path: Path,
    options: list[str],
    metrics: list[str],
) -> None:
    prepare(volume, options)
    name = f"{REGISTRY}/app"
    with running(docker, bridged, *options, *metrics, "-v", f"{volume}:/var/lib/registry", image):
        pushed = push_something(docker, tmp_path, "app")
        docker.run("pull", name)
        assert docker.image_id(name) == pushed
        docker.forget(name)
        assert "blob eligible for deletion" not in docker.run(*COLLECT)
        docker.run("pull", name)
        docker.forget(name)
        said = logs(docker)
        assert "Traceback" not in said
        assert " cannot " not in said
        has_place = "--ipc" not in options
        assert ("metrics are off" in said) == (bool(metrics) and not has_place)
        if metrics and has_place:
            counted = bridged.inside.run(require("curl", "curl"), "--silent", "http://127.0.0.1:5001/metrics")
            assert "pyregistry" in counted


@pytest.mark.parametrize(
    "options",
    [[], ["--cap-drop", "ALL"], ["--read-only", *NO_RIGHTS], ["--user", "registry"], ["--user", str(USER)]],
    ids=["plain", "no capabilities", "read-only and no capabilities", "the image's user", "a user without a group"],
)
def test_a_volume_that_docker_makes_can_be_written(
    docker: Engine, bridged: BridgedDaemon, image: str, tmp_path: Path, options: list[str]
) -> None:
    """Such a volume begins with the owner and the rights of the image's directory."""
    with running(docker, bridged, *options, image):
        docker.run("exec", "registry", "pyregistry", "without-gc", "--", "true")
        docker.run(*COLLECT)  # of an empty volume, and below of one with an image
        push_something(docker, tmp_path, "app")
        docker.run(*COLLECT)
        assert " cannot " not in logs(docker)


def test_a_named_volume_is_served_without_capabilities_then_with_them_then_as_its_owner(
    docker: Engine, bridged: BridgedDaemon, image: str, tmp_path: Path
) -> None:
    mount = ["-v", "kept:/var/lib/registry"]
    try:
        for turn, options in enumerate([["--cap-drop", "ALL"], [], [*NO_RIGHTS, "--user", "registry"]]):
            directory = tmp_path / str(turn)
            directory.mkdir()
            with running(docker, bridged, *options, *mount, image):
                push_something(docker, directory, "app")
                uid = docker.run("exec", "registry", "stat", "--format", "%u", "/proc/1").strip()
                assert uid == ("0" if turn == 0 else "65530")
                assert " cannot " not in logs(docker)
    finally:
        docker.run("volume", "rm", "--force", "kept")


def test_the_log_says_which_user_serves_a_volume_that_root_may_not_write(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path
) -> None:
    os.chown(volume, USER, USER)
    with running(docker, bridged, "--cap-drop", "ALL", "-v", f"{volume}:/var/lib/registry", image):
        assert f"belongs to user {USER}:{USER}: add --user {USER}:{USER}, or --cap-add SETUID --cap-add SETGID" in logs(
            docker
        )
