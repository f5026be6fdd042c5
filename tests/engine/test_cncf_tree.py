"""The files on disk are a contract: the CNCF registry 2.8 and pyregistry serve each other's trees."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.containers import Skopeo
from tests.engine.engine import Engine
from tests.engine.images import digest_of, oci_image, write_layout
from tests.engine.wire import Wire
from tests.processes import Server, cncf_server, free_port, pyregistry_server, require

MakeServer = Callable[[Path, int], Server]
Content = dict[str, dict[str, str]]

WRITERS = pytest.mark.parametrize(
    ("writer", "reader"), [(pyregistry_server, cncf_server), (cncf_server, pyregistry_server)], ids=["out", "in"]
)


def fill_with_skopeo(server: Server, skopeo: Skopeo, layouts: Path) -> Content:
    """An OCI image, a Docker image, an index, a moved tag, nested and neighbouring names; what was stored."""
    one, moved = oci_image((100, 5000)), oci_image((0, 2_000_000))
    several = [oci_image(architecture=architecture) for architecture in ("amd64", "arm64")]
    layouts.mkdir()
    image = write_layout(layouts / "one", one)
    other = write_layout(layouts / "moved", moved)
    index = write_layout(layouts / "several", *several)
    at = f"docker://{server.host}"
    skopeo.copy(image, f"{at}/plain:1", "--preserve-digests")
    skopeo.copy(image, f"{at}/plain/nested/name:1", "--preserve-digests")
    skopeo.copy(image, f"{at}/plain-2/0x:v1.0_rc-1", "--format", "v2s2")
    skopeo.copy(index, f"{at}/plain/list:1", "--all", "--preserve-digests")
    skopeo.copy(index, f"{at}/docker-list:1", "--all", "--format", "v2s2")
    for source in (image, other):
        skopeo.copy(source, f"{at}/moved:latest", "--preserve-digests")
    skopeo.copy(image, f"{at}/moved:old", "--preserve-digests")
    with Wire(server) as wire:
        return wire.catalog()


def fetch_all(server: Server, skopeo: Skopeo, content: Content, target: Path) -> None:
    """Copy every tag with all that it names; skopeo checks each digest."""
    for repository, tags in content.items():
        for tag, digest in tags.items():
            source = f"docker://{server.host}/{repository}"
            skopeo.copy(f"{source}:{tag}", f"dir:{target}", "--all", "--preserve-digests")
            skopeo.copy(f"{source}@{digest}", f"dir:{target}", "--all", "--preserve-digests")


def collect_dry(server: Server) -> str:
    """Return the list of actions of the CNCF registry's garbage collector on the tree."""
    program = require("docker-registry", "docker-registry")
    words = [program, "garbage-collect", "--dry-run", str(server.config)]
    return subprocess.run(words, check=True, text=True, stdout=subprocess.PIPE, timeout=60).stdout


def stored_blobs(server: Server) -> set[str]:
    """The digests of all blobs in the tree."""
    return {f"sha256:{data.parent.name}" for data in server.tree.glob("blobs/sha256/*/*/data")}


@WRITERS
def test_each_registry_serves_what_skopeo_pushed_to_the_other(
    skopeo: Skopeo, tmp_path: Path, writer: MakeServer, reader: MakeServer
) -> None:
    port = free_port()
    with writer(tmp_path, port) as server:
        content = fill_with_skopeo(server, skopeo, tmp_path / "layouts")
    assert len(content) == 6
    with reader(tmp_path, port) as server, Wire(server) as wire:
        assert wire.catalog() == content
        fetch_all(server, skopeo, content, tmp_path / "back")


@WRITERS
def test_each_registry_serves_what_docker_pushed_to_the_other(
    docker: Engine, tmp_path: Path, writer: MakeServer, reader: MakeServer
) -> None:
    port = free_port()
    name = f"127.0.0.1:{port}/docker/image"
    files = tmp_path / "context"
    files.mkdir()
    (files / "file").write_text(name)
    with writer(tmp_path, port) as server, Wire(server) as wire:
        identity = docker.build(f"{name}:1", files)
        docker.run("push", f"{name}:1")
        docker.run("tag", f"{name}:1", f"{name}-mounted:2")
        docker.run("push", f"{name}-mounted:2")
        content = wire.catalog()
    docker.forget(f"{name}:1", f"{name}-mounted:2")
    with reader(tmp_path, port) as server, Wire(server) as wire:
        assert wire.catalog() == content
        for image in (f"{name}:1", f"{name}-mounted:2"):
            docker.run("pull", image)
            assert docker.image_id(image) == identity
        docker.run("pull", f"{name}@{content['docker/image']['1']}")


def test_one_tag_is_moved_by_both_registries_in_turn(tmp_path: Path) -> None:
    port = free_port()
    images = [oci_image((100, 2000)) for _ in range(4)]
    for image, make in zip(images, (pyregistry_server, cncf_server) * 2, strict=True):
        with make(tmp_path, port) as server, Wire(server) as wire:
            wire.push("shared/name", "latest", image)
            assert wire.catalog() == {"shared/name": {"latest": digest_of(image.manifest)}}
    with pyregistry_server(tmp_path, port) as server, Wire(server) as wire:
        for image in images:
            assert wire.manifest("shared/name", digest_of(image.manifest)).body == image.manifest


def test_cncf_garbage_collector_finds_nothing_to_delete_in_our_tree(skopeo: Skopeo, tmp_path: Path) -> None:
    with pyregistry_server(tmp_path) as server:
        fill_with_skopeo(server, skopeo, tmp_path / "layouts")
    output = collect_dry(cncf_server(tmp_path))
    assert set(re.findall(r"marking (?:blob|manifest) (sha256:\w+)", output)) == stored_blobs(server)
    assert "0 blobs and 0 manifests eligible for deletion" in output
