"""crane: the go-containerregistry library, which ko, kaniko and cosign use as well."""

import tarfile
from pathlib import Path

import pytest

from tests.clients.programs import PASSWORD, USER, blobs_of, payload
from tests.engine.client import Client
from tests.engine.images import OCI_INDEX, digest_of, oci_image, unique, write_layout
from tests.engine.wire import Wire
from tests.processes import Server

SIZES = (3_000_000, 4096, 0)


@pytest.fixture
def appended(registry: Server, crane: Client, tmp_path: Path) -> str:
    """The name of an image that crane made itself, of one layer, compressed."""
    payload(tmp_path / "content")
    with tarfile.open(tmp_path / "layer.tar", "w") as tar:
        tar.add(tmp_path / "content", "content")
    name = f"{registry.host}/{unique('crane/appended')}:1"
    crane.run("append", "--oci-empty-base", "--new_layer", tmp_path / "layer.tar", "--new_tag", name)
    return name


@pytest.mark.client("crane", "push")
@pytest.mark.client("crane", "pull")
def test_image_from_a_layout_comes_back_with_the_same_bytes(
    registry: Server, wire: Wire, crane: Client, tmp_path: Path
) -> None:
    image, repository = oci_image(SIZES), unique("crane/layout")
    write_layout(tmp_path / "it", image)
    name = f"{registry.host}/{repository}:1"
    digest = digest_of(image.manifest)
    pushed = crane.run("push", tmp_path / "it", name).strip()
    assert pushed == f"{registry.host}/{repository}@{digest}"
    assert wire.digest(repository, "1") == digest
    crane.run("pull", "--format", "oci", name, tmp_path / "back")
    assert blobs_of(tmp_path / "back") == blobs_of(tmp_path / "it")


@pytest.mark.client("crane", "push")
@pytest.mark.client("crane", "pull")
def test_tarball_pushed_to_another_repository_has_the_same_config_and_layers(
    registry: Server, crane: Client, appended: str, tmp_path: Path
) -> None:
    crane.run("pull", appended, tmp_path / "image.tar")
    other = f"{registry.host}/{unique('crane/tarball')}:1"
    crane.run("push", tmp_path / "image.tar", other)
    assert crane.run("config", other) == crane.run("config", appended)
    before, after = crane.json("manifest", appended), crane.json("manifest", other)
    assert [layer["digest"] for layer in after["layers"]] == [layer["digest"] for layer in before["layers"]]
    crane.run("export", other, tmp_path / "files.tar")
    with tarfile.open(tmp_path / "files.tar") as tar:
        found = tar.extractfile("content")
        assert found is not None
        assert found.read() == (tmp_path / "content").read_bytes()


@pytest.mark.client("crane", "push an index")
@pytest.mark.client("crane", "pull an index")
def test_index_comes_back_with_all_platforms(registry: Server, wire: Wire, crane: Client, tmp_path: Path) -> None:
    images = [oci_image(architecture=architecture) for architecture in ("amd64", "arm64", "riscv64")]
    repository = unique("crane/index")
    write_layout(tmp_path / "it", *images)
    name = f"{registry.host}/{repository}:1"
    crane.run("push", tmp_path / "it", name)
    assert wire.manifest(repository, "1").headers["content-type"] == OCI_INDEX
    for image in images:
        platform = f"linux/{image.platform['architecture']}"
        assert crane.run("digest", "--platform", platform, name).strip() == digest_of(image.manifest)
    crane.run("pull", "--format", "oci", name, tmp_path / "back")
    assert blobs_of(tmp_path / "back") == blobs_of(tmp_path / "it")


@pytest.mark.client("crane", "push an index")
def test_index_append_makes_an_index_of_images_in_the_registry(
    registry: Server, wire: Wire, crane: Client, tmp_path: Path
) -> None:
    repository = unique("crane/made")
    digests = []
    for architecture in ("amd64", "arm64"):
        image = oci_image(architecture=architecture)
        write_layout(tmp_path / architecture, image)
        crane.run("push", tmp_path / architecture, f"{registry.host}/{repository}:{architecture}")
        digests.append(digest_of(image.manifest))
    parts = [word for digest in digests for word in ("--manifest", f"{registry.host}/{repository}@{digest}")]
    crane.run("index", "append", *parts, "--tag", f"{registry.host}/{repository}:both")
    index = wire.manifest(repository, "both").must(200).json()
    assert [child["digest"] for child in index["manifests"]] == digests


@pytest.mark.client("crane", "copy")
def test_copy_of_all_tags_keeps_every_digest(registry: Server, wire: Wire, crane: Client, tmp_path: Path) -> None:
    first, second = unique("crane/first"), unique("crane/second")
    for tag in ("a", "b"):
        write_layout(tmp_path / tag, oci_image(SIZES))
        crane.run("push", tmp_path / tag, f"{registry.host}/{first}:{tag}")
    crane.run("copy", "--all-tags", f"{registry.host}/{first}", f"{registry.host}/{second}")
    assert wire.content(second) == wire.content(first)
    assert len(wire.content(second)) == 2


@pytest.mark.client("crane", "inspect")
@pytest.mark.client("crane", "single blobs")
def test_digest_manifest_config_and_blob_are_those_that_were_pushed(
    registry: Server, crane: Client, tmp_path: Path
) -> None:
    image, name = oci_image(), f"{registry.host}/{unique('crane/parts')}"
    write_layout(tmp_path / "it", image)
    crane.run("push", tmp_path / "it", f"{name}:1")
    assert crane.run("digest", f"{name}:1").strip() == digest_of(image.manifest)
    assert crane.run("manifest", f"{name}:1").encode() == image.manifest
    assert crane.run("config", f"{name}@{digest_of(image.manifest)}").encode() == image.config
    assert crane.run("blob", f"{name}@{digest_of(image.config)}").encode() == image.config


@pytest.mark.client("crane", "inspect")
@pytest.mark.client("crane", "modify")
def test_appended_image_is_valid_down_to_every_layer(registry: Server, crane: Client, appended: str) -> None:
    assert crane.run("validate", "--remote", appended).startswith("PASS")
    labelled = crane.run("mutate", "--label", "a=b", "--tag", appended.replace(":1", ":2"), appended).strip()
    assert crane.json("config", labelled)["config"]["Labels"] == {"a": "b"}
    assert crane.run("validate", "--remote", labelled).startswith("PASS")


@pytest.mark.client("crane", "tag")
@pytest.mark.client("crane", "list tags")
@pytest.mark.client("crane", "list repositories")
def test_new_tag_is_listed_and_its_repository_too(registry: Server, wire: Wire, crane: Client, tmp_path: Path) -> None:
    image, repository = oci_image(), unique("crane/tags")
    write_layout(tmp_path / "it", image)
    crane.run("push", tmp_path / "it", f"{registry.host}/{repository}:b")
    crane.run("tag", f"{registry.host}/{repository}:b", "a")
    assert crane.run("ls", f"{registry.host}/{repository}").split() == ["a", "b"]
    assert set(wire.content(repository).values()) == {digest_of(image.manifest)}
    assert repository in crane.run("catalog", registry.host).split()


@pytest.mark.client("crane", "delete")
@pytest.mark.client("crane", "unknown name")
def test_image_deleted_by_digest_is_unknown_under_every_tag(
    registry: Server, wire: Wire, crane: Client, tmp_path: Path
) -> None:
    image, repository = oci_image(), unique("crane/deleted")
    name = f"{registry.host}/{repository}"
    write_layout(tmp_path / "it", image)
    write_layout(tmp_path / "other", oci_image())
    crane.run("push", tmp_path / "it", f"{name}:1")
    crane.run("tag", f"{name}:1", "2")
    crane.run("push", tmp_path / "other", f"{name}:3")
    crane.run("delete", f"{name}@{digest_of(image.manifest)}")
    assert list(wire.content(repository)) == ["3"]
    assert "MANIFEST_UNKNOWN: manifest unknown" in crane.fails("manifest", f"{name}:1")


@pytest.mark.client("crane", "log in")
def test_login_is_needed_to_push_and_to_pull(guarded: Server, crane: Client, tmp_path: Path) -> None:
    write_layout(tmp_path / "it", oci_image())
    name = f"{guarded.host}/{unique('crane/login')}:1"
    assert "401 Unauthorized" in crane.fails("push", tmp_path / "it", name)
    crane.run("auth", "login", guarded.host, "--username", USER, "--password", PASSWORD)
    crane.run("push", tmp_path / "it", name)
    crane.run("pull", "--format", "oci", name, tmp_path / "back")
    assert blobs_of(tmp_path / "back") == blobs_of(tmp_path / "it")
    crane.run("auth", "logout", guarded.host)
    assert "UNAUTHORIZED: authentication required" in crane.fails("manifest", name)
