"""Clients from npm: containerify, which mounts the layers of its base, and one that knows no list of manifests."""

from pathlib import Path

import pytest

from tests.clients.programs import node_package, own_settings
from tests.engine.client import Client
from tests.engine.images import (
    digest_of,
    docker_images,
    oci_image,
    unique,
)
from tests.engine.wire import Wire
from tests.processes import Server, require

MANIFEST = """
const [repository, ref] = process.argv.slice(1);
const client = require("docker-registry-client").createClientV2({name: repository, maxSchemaVersion: 2});
client.getManifest({ref}, (error, manifest, response, body) => {
    client.close();
    if (error) throw error;
    process.stdout.write(body);
});
"""


def node(home: Path, *words: str | Path, modules: Path | None = None) -> Client:
    """node with no settings but those of the home."""
    own = {**own_settings(home), "NO_PROXY": "127.0.0.1"}  # unlike Go, it asks a proxy for 127.0.0.1 as well
    return Client(require("node", "nodejs"), *words, env={**own, "NODE_PATH": str(modules or "")})


@pytest.fixture
def application(home: Path) -> Path:
    """A program for Node that needs no other."""
    directory = home / "application"
    directory.mkdir()
    (directory / "package.json").write_text('{"name": "it", "version": "1.0.0"}')
    (directory / "index.js").write_text("console.log('it')\n")
    return directory


@pytest.mark.client("containerify", "push")
@pytest.mark.client("containerify", "pull")
def test_image_is_built_on_layers_mounted_from_its_base(either: Server, home: Path, application: Path) -> None:
    base, target, image = unique("containerify/base"), unique("containerify/it"), oci_image()
    containerify = node(home, node_package("containerify") / "lib/cli.js", "--registry", f"{either.url}/v2/")
    with Wire(either) as wire:
        wire.push(base, "1", image)
        options = ("--folder", application, "--doCrossMount", "--allowNoPushAuth", "--token", "none")
        containerify.run("--fromImage", f"{base}:1", "--toImage", f"{target}:1", *options)
        layers = [entry["digest"] for entry in wire.manifest(target, "1").must(200).json()["layers"]]
        assert layers[:2] == [digest_of(content) for content in image.layers]
        assert len(layers) == 4, "two layers of the base, one of what the program needs, one of itself"
        for digest in layers:
            wire.request("GET", f"/v2/{target}/blobs/{digest}").must(200)


@pytest.mark.client("docker-registry-client", "inspect")
@pytest.mark.client("docker-registry-client", "pull an index")
def test_tag_of_a_list_is_the_manifest_for_linux_on_amd64(either: Server, home: Path) -> None:
    repository, images = unique("drc/list"), docker_images("arm64", "amd64")
    with Wire(either) as wire:
        wire.push_list(repository, "1", *images)
    package = node_package("docker-registry-client")
    client = node(home, "--eval", MANIFEST, "--", modules=package.parent)
    assert client.run(f"{either.url}/{repository}", "1").encode() == images[1].manifest
