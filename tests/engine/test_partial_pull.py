"""podman asks for the parts of a zstd:chunked layer that it has not got, in one header of many ranges."""

import os
import random
from pathlib import Path

import pytest

from tests.engine.client import Client
from tests.engine.containers import Buildah, Settings, Skopeo
from tests.engine.counted import Counted
from tests.engine.images import unique
from tests.engine.wire import Wire
from tests.processes import Server, require

FILES = 2_080
CHANGED = slice(None, None, 2)
"""Every second file, so that no two ranges meet: podman makes 1,024 of 1,040, the most it asks for at once."""

STORAGE = """
[storage]
driver = "overlay"
graphroot = "{directory}/overlay"
runroot = "{directory}/overlay-run"
[storage.options]
pull_options = {{enable_partial_images = "true"}}
"""


@pytest.fixture
def versions(buildah: Buildah, tmp_path: Path) -> list[str]:
    """Two images in buildah's storage, each of one layer; half the files of the second are as in the first."""
    names, tree = [], tmp_path / "tree"
    tree.mkdir()
    paths = [tree / f"file{number:04}" for number in range(FILES)]
    for changed in (slice(None), CHANGED):
        for path in paths[changed]:
            path.write_bytes(os.urandom(random.randrange(1_000, 4_000)))
        names.append(f"localhost/{unique('partial')}:1")
        buildah.build(names[-1], tree)
    return names


def pushed(buildah: Buildah, server: Server, repository: str, names: list[str]) -> int:
    """Push the images under the tags 0 and 1; the size of the layer of the last."""
    chunked = ["--compression-format", "zstd:chunked", *buildah.settings.remote]
    for tag, name in enumerate(names):
        buildah.run("push", *chunked, name, f"docker://{server.host}/{repository}:{tag}")
    with Wire(server) as wire:
        [layer] = wire.manifest(repository, "1").must(200).json()["layers"]
    assert "io.containers.zstd-chunked.manifest-position" in layer["annotations"]
    return int(layer["size"])


def moved(server: Server, repository: str, directory: Path) -> int:
    """The bytes of the registry that podman reads for the second image, after it has got the first."""
    directory.mkdir()
    settings, storage = Settings(directory), directory / "storage.conf"
    storage.write_text(STORAGE.format(directory=directory))
    env = {**settings.env, "CONTAINERS_STORAGE_CONF": str(storage)}
    options = ("--tmpdir", directory / "tmp", "--cgroup-manager", "cgroupfs", "--runtime", require("runc", "runc"))
    podman = Client(require("podman", "podman"), *options, env=env)
    received = []
    for tag in ("0", "1"):
        with Counted(server) as line:
            podman.run("pull", *settings.remote, f"{line.host}/{repository}:{tag}")
        received.append(line.received)
    return received[1]


@pytest.mark.client("podman", "pull in parts")
def test_partial_pull_moves_no_more_than_from_the_cncf_registry(
    registry: Server,
    running_upstream: Server,
    buildah: Buildah,
    skopeo: Skopeo,
    images: Path,
    versions: list[str],
) -> None:
    repository = unique("podman/partial")
    size = pushed(buildah, running_upstream, repository, versions)
    expected = moved(running_upstream, repository, images / "upstream")
    assert expected < 0.8 * size, "podman pulls in parts"
    for tag in ("0", "1"):
        skopeo.copy(*(f"docker://{server.host}/{repository}:{tag}" for server in (running_upstream, registry)))
    assert moved(registry, repository, images / "ours") <= 1.05 * expected
