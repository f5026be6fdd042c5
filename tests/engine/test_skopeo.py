"""skopeo: the containers/image library, in every format that it writes."""

import json
from pathlib import Path

import pytest

from tests.engine.containers import Skopeo
from tests.engine.images import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    digest_of,
    oci_image,
    oci_index,
    unique,
    write_layout,
)
from tests.engine.wire import Wire
from tests.processes import Server

INSECURE = "--tls-verify=false"
INDEX = {"oci": OCI_INDEX, "v2s2": DOCKER_LIST}


@pytest.mark.client("skopeo", "push")
@pytest.mark.client("skopeo", "pull")
def test_oci_image_comes_back_with_the_same_bytes(registry: Server, wire: Wire, skopeo: Skopeo, tmp_path: Path) -> None:
    image = oci_image()
    repository = unique("skopeo/oci")
    there, back = f"docker://{registry.host}/{repository}:1", tmp_path / "back"
    skopeo.copy(write_layout(tmp_path / "it", image), there, "--format", "oci", "--preserve-digests")
    skopeo.copy(there, f"dir:{back}", "--preserve-digests")
    assert (back / "manifest.json").read_bytes() == image.manifest
    assert wire.manifest(repository, "1").headers["content-type"] == OCI_MANIFEST
    for blob in image.blobs:
        assert (back / digest_of(blob).removeprefix("sha256:")).read_bytes() == blob


@pytest.mark.client("skopeo", "push")
@pytest.mark.client("skopeo", "pull")
def test_docker_schema_2_image_keeps_its_type(registry: Server, wire: Wire, skopeo: Skopeo, tmp_path: Path) -> None:
    repository = unique("skopeo/v2s2")
    there = f"docker://{registry.host}/{repository}:1"
    skopeo.copy(write_layout(tmp_path / "it", oci_image()), there, "--format", "v2s2")
    answer = wire.manifest(repository, "1").must(200)
    assert answer.headers["content-type"] == DOCKER_MANIFEST
    skopeo.copy(there, f"dir:{tmp_path / 'back'}", "--preserve-digests")
    assert (tmp_path / "back/manifest.json").read_bytes() == answer.body


@pytest.mark.client("skopeo", "push an index")
@pytest.mark.client("skopeo", "pull an index")
@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_copy_of_all_platforms_stores_the_index_and_each_image(
    registry: Server, wire: Wire, skopeo: Skopeo, tmp_path: Path, form: str
) -> None:
    images = [oci_image(architecture=architecture) for architecture in ("amd64", "arm64")]
    repository = unique("skopeo/all")
    there, back = f"docker://{registry.host}/{repository}:1", tmp_path / "back"
    skopeo.copy(write_layout(tmp_path / "it", *images), there, "--all", "--format", form)
    answer = wire.manifest(repository, "1").must(200)
    assert answer.headers["content-type"] == INDEX[form]
    children = [child["digest"] for child in answer.json()["manifests"]]
    assert [wire.digest(repository, child) for child in children] == children
    skopeo.copy(there, f"dir:{back}", "--all", "--preserve-digests")
    assert (back / "manifest.json").read_bytes() == answer.body


@pytest.mark.client("skopeo", "push an index")
def test_index_is_copied_byte_for_byte(registry: Server, skopeo: Skopeo, tmp_path: Path) -> None:
    images = [oci_image(architecture=architecture) for architecture in ("amd64", "s390x")]
    there = f"docker://{registry.host}/{unique('skopeo/index')}:1"
    skopeo.copy(write_layout(tmp_path / "it", *images), there, "--all", "--preserve-digests")
    assert skopeo.run("inspect", INSECURE, "--raw", there).encode() == oci_index(*images)


@pytest.mark.client("skopeo", "copy")
def test_copy_from_one_repository_to_another_keeps_the_digest(
    registry: Server, wire: Wire, skopeo: Skopeo, tmp_path: Path
) -> None:
    first, second = unique("skopeo/first"), unique("skopeo/second")
    source = f"docker://{registry.host}/{first}:1"
    skopeo.copy(write_layout(tmp_path / "it", oci_image()), source)
    skopeo.copy(source, f"docker://{registry.host}/{second}:1", "--preserve-digests")
    assert wire.content(first) == wire.content(second)


@pytest.mark.client("skopeo", "inspect")
def test_inspect_describes_the_image(registry: Server, skopeo: Skopeo, tmp_path: Path) -> None:
    image = oci_image()
    name = f"{registry.host}/{unique('skopeo/inspect')}"
    skopeo.copy(write_layout(tmp_path / "it", image), f"docker://{name}:1", "--preserve-digests")
    found = skopeo.json("inspect", INSECURE, f"docker://{name}:1")
    assert found["Name"] == name
    assert found["Digest"] == digest_of(image.manifest)
    assert found["Layers"] == [digest_of(layer) for layer in image.layers]
    assert found["RepoTags"] == ["1"]
    config = skopeo.json("inspect", INSECURE, "--config", "--raw", f"docker://{name}:1")
    assert config == json.loads(image.config)


@pytest.mark.client("skopeo", "list tags")
def test_list_tags_names_every_tag(registry: Server, skopeo: Skopeo, tmp_path: Path) -> None:
    name = f"{registry.host}/{unique('skopeo/tags')}"
    layout = write_layout(tmp_path / "it", oci_image())
    for tag in ("b", "a", "v1.0_x"):
        skopeo.copy(layout, f"docker://{name}:{tag}")
    assert skopeo.json("list-tags", INSECURE, f"docker://{name}")["Tags"] == ["a", "b", "v1.0_x"]


@pytest.mark.client("skopeo", "delete")
@pytest.mark.client("skopeo", "unknown name")
def test_deleted_image_is_unknown(registry: Server, wire: Wire, skopeo: Skopeo, tmp_path: Path) -> None:
    repository = unique("skopeo/delete")
    there = f"docker://{registry.host}/{repository}:1"
    skopeo.copy(write_layout(tmp_path / "it", oci_image()), there)
    skopeo.run("delete", INSECURE, there)
    wire.manifest(repository, "1").must(404)
    assert "manifest unknown" in skopeo.fails("inspect", INSECURE, there)


def test_tls_hello_to_the_plain_port_is_told_from_a_dead_one(registry: Server, skopeo: Skopeo) -> None:
    # Go's HTTP client says so where the answer begins with HTTP/; docker and containerd then go on without TLS.
    said = skopeo.fails("inspect", "--tls-verify=true", f"docker://{registry.host}/{unique('skopeo/tls')}:1")
    assert "server gave HTTP response to HTTPS client" in said
