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
