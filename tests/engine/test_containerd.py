"""containerd: one PUT per blob, HEAD before each, and pulls by digest from its own resolver."""

import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.client import Client
from tests.engine.images import digest_of, oci_image, oci_index, unique, write_layout
from tests.engine.wire import Wire
from tests.processes import Program, Server, require, require_root, start_or_skip

CONFIG = """
version = 2
root = "{directory}/root"
state = "{directory}/state"
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{directory}/sock"
[ttrpc]
  address = "{directory}/sock.ttrpc"
"""
PLAIN = "--plain-http"
NATIVE = ("--snapshotter", "native")  # plain copies: no mount is left behind


class Containerd(Program):
    """containerd with its own images, state and socket."""

    def __init__(self, directory: Path) -> None:
        self.ctr = Client(require("ctr", "containerd"), "--address", directory / "sock")
        config = directory / "config.toml"
        config.write_text(CONFIG.format(directory=directory))
        program = require("containerd", "containerd")
        super().__init__([program, "--config", str(config)], directory / "containerd.log")

    def answers(self) -> bool:
        return "Server:" in self.ctr.run("--connect-timeout", "1s", "version", check=False)


@pytest.fixture(scope="module")
def ctr(scratch: Path) -> Iterator[Client]:
    """`ctr` with a containerd of its own."""
    require_root()
    directory = Path(tempfile.mkdtemp(prefix="containerd-", dir=scratch))  # two files of tests have one each
    containerd = Containerd(directory)
    try:
        start_or_skip(containerd)
        yield containerd.ctr
    finally:
        containerd.stop()


def imported(ctr: Client, name: str, layout: Path) -> str:
    """Import an OCI layout; what containerd calls the image."""
    archive = layout.with_suffix(".tar")
    with tarfile.open(archive, "w") as tar:
        tar.add(layout, ".")
    ctr.run("images", "import", *NATIVE, "--all-platforms", "--base-name", name, archive)
    return f"{name}:it"


def held(ctr: Client) -> set[str]:
    """The digests in its content store."""
    return set(ctr.run("content", "list", "--quiet").split())


@pytest.mark.client("ctr", "push")
@pytest.mark.client("ctr", "pull")
def test_pushed_image_is_pulled_with_all_blobs(registry: Server, wire: Wire, ctr: Client, tmp_path: Path) -> None:
    image = oci_image()
    write_layout(tmp_path / "it", image)
    repository = unique("containerd/image")
    name = imported(ctr, f"{registry.host}/{repository}", tmp_path / "it")
    ctr.run("images", "push", PLAIN, name)
    assert wire.digest(repository, "it") == digest_of(image.manifest)
    ctr.run("images", "remove", "--sync", name)
    digests = {digest_of(content) for content in (*image.blobs, image.manifest)}
    assert not digests & held(ctr)
    ctr.run("images", "pull", PLAIN, *NATIVE, name)
    assert digests <= held(ctr)


@pytest.mark.client("ctr", "push an index")
@pytest.mark.client("ctr", "pull an index")
def test_index_is_pushed_with_all_platforms(registry: Server, wire: Wire, ctr: Client, tmp_path: Path) -> None:
    images = [oci_image(architecture=architecture) for architecture in ("amd64", "arm64")]
    write_layout(tmp_path / "it", *images)
    repository = unique("containerd/index")
    name = imported(ctr, f"{registry.host}/{repository}", tmp_path / "it")
    ctr.run("images", "push", PLAIN, name)
    assert wire.manifest(repository, "it").body == oci_index(*images)
    ctr.run("images", "remove", "--sync", name)
    ctr.run("images", "pull", PLAIN, *NATIVE, "--all-platforms", name)
    digests = {digest_of(content) for image in images for content in (*image.blobs, image.manifest)}
    assert digests <= held(ctr)


@pytest.mark.client("ctr", "tag")
@pytest.mark.client("ctr", "push again")
def test_second_push_sends_nothing_again(registry: Server, wire: Wire, ctr: Client, tmp_path: Path) -> None:
    write_layout(tmp_path / "it", oci_image())
    repository = unique("containerd/twice")
    name = imported(ctr, f"{registry.host}/{repository}", tmp_path / "it")
    ctr.run("images", "push", PLAIN, name)
    before = wire.digest(repository, "it")
    ctr.run("images", "tag", name, name.removesuffix(":it") + ":again")
    ctr.run("images", "push", PLAIN, name.removesuffix(":it") + ":again")
    assert wire.content(repository) == {"it": before, "again": before}
    uploads = registry.tree / "repositories" / repository / "_uploads"
    assert not uploads.exists() or not list(uploads.iterdir())


@pytest.mark.client("ctr", "push")
@pytest.mark.parametrize("source", ["it/is/not-here", "Foreign/Name", "a//b", "library/busybox@sha256", "_/x"])
def test_image_whose_layers_are_said_to_come_from_elsewhere_is_pushed(
    either: Server, ctr: Client, tmp_path: Path, source: str
) -> None:
    image = oci_image()
    write_layout(tmp_path / "it", image)
    repository = unique("containerd/mount")
    name = imported(ctr, f"{either.host}/{repository}", tmp_path / "it")
    for content in image.blobs:
        ctr.run("content", "label", digest_of(content), f"containerd.io/distribution.source.127.0.0.1={source}")
    ctr.run("images", "push", PLAIN, name)
    with Wire(either) as wire:
        assert wire.digest(repository, "it") == digest_of(image.manifest)


@pytest.mark.client("ctr", "pull by digest")
def test_image_is_pulled_by_digest(registry: Server, ctr: Client, tmp_path: Path) -> None:
    image = oci_image()
    write_layout(tmp_path / "it", image)
    repository = unique("containerd/digest")
    name = imported(ctr, f"{registry.host}/{repository}", tmp_path / "it")
    ctr.run("images", "push", PLAIN, name)
    ctr.run("images", "remove", "--sync", name)
    pinned = f"{registry.host}/{repository}@{digest_of(image.manifest)}"
    ctr.run("images", "pull", PLAIN, *NATIVE, pinned)
    assert digest_of(image.manifest) in held(ctr)


@pytest.mark.client("ctr", "unknown name")
def test_pull_of_an_unknown_tag_says_not_found(registry: Server, ctr: Client) -> None:
    name = f"{registry.host}/{unique('containerd/absent')}:1"
    assert "not found" in ctr.fails("images", "pull", PLAIN, name)
