"""As whom the image's server runs, and what it says where it cannot."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.engine import Engine
from tests.image.conftest import BridgedDaemon
from tests.image.container import answers, get, logs, push_something, running
from tests.processes import wait_until


def users(docker: Engine) -> set[int]:
    """Of all processes in the container."""
    pids = [line.split()[1] for line in docker.run("top", "registry").splitlines()[1:]]
    assert len(pids) >= 2
    return {Path(f"/proc/{pid}").stat().st_uid for pid in pids}


@pytest.fixture
def files() -> Iterator[Path]:
    """A directory for mounts outside of the volume."""
    directory = Path(tempfile.mkdtemp(prefix="pyregistry-files-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize(
    ("options", "reasons"),
    [
        (["--user", "4321:4321", "-v", "{}:/var/lib/registry"], ["error=EACCES", "user=4321:4321", "owner=0:0"]),
        (["-v", "{}:/var/lib/registry:ro"], ["error=EROFS"]),
    ],
    ids=["of another user", "mounted read-only"],
)
def test_volume_that_cannot_be_written_is_named_and_served(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path, options: list[str], reasons: list[str]
) -> None:
    with running(docker, bridged, *(option.format(volume) for option in options), image):
        assert get(bridged, "/v2/_catalog").strip() == '{"repositories":[]}'
        said = logs(docker)
        assert "the data directory cannot be written" in said
        assert "directory=/var/lib/registry" in said
        assert all(reason in said for reason in reasons)
        assert "Traceback" not in said


def test_directory_that_the_config_names_is_given_to_the_service(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path, files: Path, tmp_path: Path
) -> None:
    (volume / "of another user").touch()
    config = files / "config.yml"
    config.write_text("{version: 0.1, storage: {filesystem: {rootdirectory: /data}}, http: {addr: ':5000'}}")
    mounts = ["-v", f"{volume}:/data", "-v", f"{config}:/somewhere/my.yml"]
    with running(docker, bridged, *mounts, image, "/somewhere/my.yml"):
        push_something(docker, tmp_path, "app")
        assert users(docker) == {volume.stat().st_uid}
    assert volume.stat().st_uid != 0
    assert (volume / "of another user").stat().st_uid == 0


def test_volume_of_roots_is_given_to_the_service_once_and_the_log_says_so(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path
) -> None:
    old = volume / "docker/registry/v2/repositories/old/_layers"
    old.mkdir(parents=True)
    with running(docker, bridged, "-v", f"{volume}:/var/lib/registry", image):
        # docker, registry, v2, repositories, old and _layers, and the volume itself
        gave = "gave /var/lib/registry to the user registry (65530), files and directories: 7"
        assert logs(docker).count(gave) == 1
        assert old.stat().st_uid == old.stat().st_gid == volume.stat().st_uid == 65530
        docker.run("restart", "registry")
        wait_until(lambda: answers(bridged), "it answers again", 15)
        assert logs(docker).count("user registry") == 2  # before it, and after it


def test_volume_of_an_earlier_image_goes_on_with_its_owner(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path, tmp_path: Path
) -> None:
    os.chown(volume, 1000, 1000)
    with running(docker, bridged, "-v", f"{volume}:/var/lib/registry", image):
        push_something(docker, tmp_path, "app")
        assert users(docker) == {1000}
        assert "entrypoint" not in logs(docker)
    assert {path.stat().st_uid for path in volume.rglob("*")} == {1000}


def test_port_below_1024_can_be_listened_on_without_being_root(docker: Engine, image: str, volume: Path) -> None:
    # As with --network host; in a network of its own a container may use any port since Docker 20.10.
    strict = ["--sysctl", "net.ipv4.ip_unprivileged_port_start=1024", "-e", "REGISTRY_HTTP_ADDR=:443"]
    mounts = ["-v", f"{volume}:/var/lib/registry"]
    docker.run("run", "-d", "--name", "registry", "--health-interval", "1s", *strict, *mounts, image)
    try:
        wait_until(lambda: health(docker) == "healthy", "it is healthy", 20)
        assert 0 not in users(docker)
    finally:
        docker.run("rm", "--force", "registry")


def test_container_without_any_capability_serves_a_volume_of_roots(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path, tmp_path: Path
) -> None:
    with running(docker, bridged, "--cap-drop", "ALL", "-v", f"{volume}:/var/lib/registry", image):
        push_something(docker, tmp_path, "app")
    assert (volume / "docker").stat().st_uid == 0


def health(docker: Engine) -> str:
    """Return the state that `docker ps` shows."""
    return docker.run("inspect", "--format", "{{.State.Health.Status}}", "registry").strip()


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--init"],
        ["-e", "REGISTRY_HTTP_ADDR=:8080", "-p", "5001:8080"],
        ["-e", "REGISTRY_HTTP_PREFIX=/below/"],
        ["-e", "REGISTRY_HTTP_NET=unix", "-e", "REGISTRY_HTTP_ADDR=/tmp/registry.sock"],
        ["--user", "4321:4321", "-e", "REGISTRY_STORAGE=inmemory"],
    ],
    ids=["plain", "with an init", "another port", "a prefix", "a unix socket", "another user"],
)
def test_container_becomes_healthy(docker: Engine, image: str, options: list[str]) -> None:
    docker.run("run", "-d", "--name", "registry", "--health-interval", "1s", *options, image)
    try:
        wait_until(lambda: health(docker) == "healthy", "it is healthy", 20)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{logs(docker)}\n{docker.run('inspect', 'registry')}") from None
    finally:
        docker.run("rm", "--force", "registry")


def test_container_whose_server_hangs_becomes_unhealthy(docker: Engine, image: str) -> None:
    probe = ["--health-interval", "1s", "--health-retries", "1", "--health-start-period", "0s"]
    docker.run("run", "-d", "--name", "registry", *probe, image)
    try:
        wait_until(lambda: health(docker) == "healthy", "it is healthy", 20)
        docker.run("exec", "registry", "sh", "-c", "kill -STOP $(ls /proc | grep -E '^[0-9]+$' | grep -v $$) || true")
        wait_until(lambda: health(docker) == "unhealthy", "it is unhealthy", 30)
    finally:
        docker.run("rm", "--force", "registry")
