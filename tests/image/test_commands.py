"""Commands of the image: `docker run IMAGE COMMAND` on a volume, without the program's name."""

import subprocess
from pathlib import Path

import pytest

from tests.engine.engine import Engine
from tests.image.conftest import BridgedDaemon
from tests.image.container import push_something, running

COMMANDS: list[tuple[list[str], str]] = [
    (["ls"], "team/app"),
    (["du"], "team/app"),
    (["fsck"], ""),
    (["gc", "--dry-run"], ""),
    (["check-config"], "rootdirectory"),
    (["access", "--help"], "pyregistry access"),
    (["htpasswd", "-Bbn", "alice", "wonderland"], "alice:$2"),
    (["rm", "team/app:1.0", "--yes"], ""),
    (["/bin/ls", "/var/lib/registry"], "docker"),
]


def test_each_command_works_on_the_volume(
    docker: Engine, bridged: BridgedDaemon, image: str, volume: Path, tmp_path: Path
) -> None:
    mount = ["-v", f"{volume}:/var/lib/registry"]
    with running(docker, bridged, *mount, image):
        push_something(docker, tmp_path, "team/app:1.0")
    for words, expected in COMMANDS:
        assert expected in docker.run("run", "--rm", *mount, image, *words), words
    assert docker.run("run", "--rm", *mount, image, "ls", "team/app").strip() == ""
    owner = volume.stat().st_uid
    assert {path.lstat().st_uid for path in volume.rglob("*")} == {owner}


@pytest.mark.parametrize("config", ["{version: 0.1, storage: inmemory, http: {addr: ':5000'}}", "{"])
def test_an_unhealthy_server_is_1_to_docker_and_never_2(
    docker: Engine, image: str, tmp_path: Path, config: str
) -> None:
    file = tmp_path / "config.yml"
    file.write_text(config)
    words = ["run", "--rm", "-v", f"{file}:/etc/docker/registry/config.yml", image, "healthcheck"]
    done = subprocess.run([*docker.command, *words], check=False, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
