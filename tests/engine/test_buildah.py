"""buildah: images from scratch and manifest lists of several platforms."""

import os
from pathlib import Path

import pytest

from tests.engine.containers import Buildah
from tests.engine.images import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, unique
from tests.engine.wire import Wire
from tests.processes import Server

IMAGE = {"oci": OCI_MANIFEST, "v2s2": DOCKER_MANIFEST}
LIST = {"oci": OCI_INDEX, "v2s2": DOCKER_LIST}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Content that no other image has."""
    path = tmp_path / "content"
    path.write_bytes(os.urandom(200_000))
    return path


@pytest.mark.client("buildah", "push")
@pytest.mark.client("buildah", "pull")
def test_image_from_scratch_is_pushed_and_pulled(registry: Server, buildah: Buildah, file: Path) -> None:
    name = f"{registry.host}/{unique('buildah')}:1"
    identity = buildah.build(name, file)
    buildah.push(name)
    buildah.run("rmi", name)
    assert buildah.pull(name) == identity
    container = buildah.run("from", "--signature-policy", buildah.settings.policy, "--pull-never", name).strip()
    mounted = Path(buildah.run("mount", container).strip())
    assert (mounted / "content").read_bytes() == file.read_bytes()
    buildah.run("rm", container)


@pytest.mark.client("buildah", "push")
@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_image_is_pushed_in_both_formats(registry: Server, wire: Wire, buildah: Buildah, file: Path, form: str) -> None:
    repository = unique("buildah/format")
    name = f"{registry.host}/{repository}:1"
    buildah.build(name, file)
    buildah.run("push", *buildah.settings.remote, "--format", form, name)
    assert wire.manifest(repository, "1").must(200).headers["content-type"] == IMAGE[form]


@pytest.mark.client("buildah", "push an index")
@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_manifest_list_of_two_platforms_is_pushed_with_all_images(
    registry: Server, wire: Wire, buildah: Buildah, file: Path, form: str
) -> None:
    repository = unique("buildah/list")
    name = f"{registry.host}/{repository}"
    buildah.run("manifest", "create", f"{name}:list")
    for architecture in ("amd64", "arm64"):
        buildah.build(f"{name}:{architecture}", file, architecture)
        buildah.run("manifest", "add", f"{name}:list", f"containers-storage:{name}:{architecture}")
    options = ["--all", "--format", form, *buildah.settings.remote]
    buildah.run("manifest", "push", *options, f"{name}:list", f"docker://{name}:list")
    answer = wire.manifest(repository, "list").must(200)
    assert answer.headers["content-type"] == LIST[form]
    children = {child["platform"]["architecture"]: child["digest"] for child in answer.json()["manifests"]}
    assert sorted(children) == ["amd64", "arm64"]
    for digest in children.values():
        assert wire.digest(repository, digest) == digest
    assert wire.content(repository) == {"list": answer.headers["docker-content-digest"]}
