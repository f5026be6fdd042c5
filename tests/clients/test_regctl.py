"""regctl: the regclient library, which sends large blobs in chunks and asks for referrers."""

import os
from pathlib import Path

import pytest

from tests.clients.programs import PASSWORD, USER, Regctl, blobs_of, payload
from tests.engine.images import OCI_INDEX, digest_of, oci_image, oci_index, unique, write_layout
from tests.engine.wire import Wire
from tests.processes import Server

SIZES = (3_000_000, 4096, 0)
CHUNK = 200_000


@pytest.fixture
def name(registry: Server, regctl: Regctl, tmp_path: Path) -> str:
    """A repository, its registry before it, that holds `1`: the image in `tmp_path/it`."""
    name = f"{registry.host}/{unique('regctl')}"
    write_layout(tmp_path / "it", oci_image(SIZES))
    regctl.run("image", "copy", f"ocidir://{tmp_path}/it:it", f"{name}:1")
    return name


@pytest.mark.client("regctl", "push")
@pytest.mark.client("regctl", "pull")
def test_copied_image_comes_back_with_the_same_bytes(regctl: Regctl, name: str, tmp_path: Path) -> None:
    regctl.run("image", "copy", f"{name}:1", f"ocidir://{tmp_path}/back:1")
    assert blobs_of(tmp_path / "back") == blobs_of(tmp_path / "it")


@pytest.mark.client("regctl", "push an index")
@pytest.mark.client("regctl", "pull an index")
def test_index_comes_back_with_all_platforms(registry: Server, wire: Wire, regctl: Regctl, tmp_path: Path) -> None:
    images = [oci_image(architecture=architecture) for architecture in ("amd64", "s390x")]
    write_layout(tmp_path / "it", *images)
    repository = unique("regctl/index")
    name = f"{registry.host}/{repository}:1"
    regctl.run("image", "copy", f"ocidir://{tmp_path}/it:it", name)
    assert wire.manifest(repository, "1").body == oci_index(*images)
    regctl.run("image", "copy", name, f"ocidir://{tmp_path}/back:1")
    assert blobs_of(tmp_path / "back") == blobs_of(tmp_path / "it")


@pytest.mark.client("regctl", "push an index")
def test_index_of_images_in_the_registry_grows_by_one(regctl: Regctl, name: str, tmp_path: Path) -> None:
    image = oci_image(architecture="arm64")
    write_layout(tmp_path / "arm", image)
    regctl.run("image", "copy", f"ocidir://{tmp_path}/arm:it", f"{name}:arm")
    regctl.run("index", "create", f"{name}:both", "--ref", f"{name}:1")
    regctl.run("index", "add", f"{name}:both", "--ref", f"{name}:arm")
    index = regctl.json("manifest", "get", f"{name}:both", "--format", "raw-body")
    assert index["mediaType"] == OCI_INDEX
    first = regctl.run("image", "digest", f"{name}:1").strip()
    assert [child["digest"] for child in index["manifests"]] == [first, digest_of(image.manifest)]
    found = regctl.run("image", "digest", "--platform", "linux/arm64", f"{name}:both").strip()
    assert found == digest_of(image.manifest)


@pytest.mark.client("regctl", "copy")
def test_copy_of_a_repository_keeps_every_digest(registry: Server, wire: Wire, regctl: Regctl, name: str) -> None:
    regctl.run("image", "copy", f"{name}:1", f"{name}:2")
    other = unique("regctl/copy")
    regctl.run("repo", "copy", name, f"{registry.host}/{other}")
    assert wire.content(other) == wire.content(name.removeprefix(f"{registry.host}/"))
    assert list(wire.content(other)) == ["1", "2"]


@pytest.mark.client("regctl", "tag")
@pytest.mark.client("regctl", "list tags")
@pytest.mark.client("regctl", "list repositories")
def test_deleted_tag_leaves_the_image_under_the_other_tag(registry: Server, regctl: Regctl, name: str) -> None:
    digest = regctl.run("image", "digest", f"{name}:1").strip()
    regctl.run("image", "copy", f"{name}:1", f"{name}:2")
    assert regctl.run("tag", "ls", name).split() == ["1", "2"]
    regctl.run("tag", "delete", f"{name}:1")
    assert regctl.run("tag", "ls", name).split() == ["2"]
    assert regctl.run("image", "digest", f"{name}:2").strip() == digest
    assert name.removeprefix(f"{registry.host}/") in regctl.run("repo", "ls", registry.host).split()


@pytest.mark.client("regctl", "delete")
@pytest.mark.client("regctl", "unknown name")
def test_deleted_manifest_is_unknown(regctl: Regctl, name: str) -> None:
    digest = regctl.run("image", "digest", f"{name}:1").strip()
    regctl.run("manifest", "delete", f"{name}@{digest}")
    assert "MANIFEST_UNKNOWN" in regctl.fails("manifest", "get", f"{name}:1")
    assert regctl.run("tag", "ls", name).split() == []


@pytest.mark.client("regctl", "single blobs")
def test_blob_is_put_read_and_deleted(regctl: Regctl, name: str) -> None:
    content = os.urandom(1000).hex().encode()
    assert regctl.run("blob", "put", name, input=content).strip() == digest_of(content)
    assert regctl.run("blob", "get", name, digest_of(content)).encode() == content
    assert f"Content-Length: {len(content)}" in regctl.run("blob", "head", name, digest_of(content))
    regctl.run("blob", "delete", name, digest_of(content))
    assert "404" in regctl.fails("blob", "head", name, digest_of(content))


@pytest.mark.client("regctl", "upload in chunks")
def test_blob_sent_in_chunks_is_the_blob_of_one_piece(registry: Server, wire: Wire, regctl: Regctl) -> None:
    repository, content = unique("regctl/chunks"), os.urandom(10 * CHUNK + 1)
    sizes = ("--blob-chunk", str(CHUNK), "--blob-max", str(CHUNK))
    regctl.run("registry", "set", *sizes, registry.host)
    regctl.run("blob", "put", f"{registry.host}/{repository}", input=content)
    assert wire.request("GET", f"/v2/{repository}/blobs/{digest_of(content)}").must(200).body == content
    patches = [line for line in registry.log.read_text().splitlines() if "PATCH" in line and repository in line]
    assert len(patches) > 10


@pytest.mark.client("regctl", "attach")
@pytest.mark.client("regctl", "list referrers")
def test_attached_artifact_is_found_by_its_subject(regctl: Regctl, name: str, home: Path) -> None:
    bill, other = payload(home / "bill.json", 100_000), payload(home / "other")
    for file, kind in (("bill.json", "application/x.bill"), ("other", "application/x.other")):
        regctl.run(
            *("artifact", "put", "--subject", f"{name}:1", "--artifact-type", kind),
            *("--file", home / file, "--file-media-type", "application/octet-stream", "--file-title", "--strip-dirs"),
        )
    found = regctl.json("artifact", "list", f"{name}:1", "--format", "{{json .}}")["descriptors"]
    assert {entry["artifactType"] for entry in found} == {"application/x.bill", "application/x.other"}
    chosen = ("--filter-artifact-type", "application/x.bill")
    assert len(regctl.json("artifact", "list", f"{name}:1", *chosen, "--format", "{{json .}}")["descriptors"]) == 1
    regctl.run("artifact", "get", "--subject", f"{name}:1", *chosen, "--output", home)
    regctl.run("artifact", "get", f"{name}@{found[0]['digest']}", "--output", home)
    assert (home / "bill.json").read_bytes() == bill
    assert (home / "other").read_bytes() == other


@pytest.mark.client("regctl", "copy")
@pytest.mark.client("regctl", "list referrers")
def test_copy_with_referrers_takes_them_along(registry: Server, regctl: Regctl, name: str) -> None:
    kind = ("--artifact-type", "application/x.note")
    regctl.run("artifact", "put", "--subject", f"{name}:1", *kind, input=os.urandom(3000))
    other = f"{registry.host}/{unique('regctl/along')}:1"
    regctl.run("image", "copy", "--referrers", f"{name}:1", other)
    before, after = (
        regctl.json("artifact", "list", reference, "--format", "{{json .Descriptors}}")
        for reference in (f"{name}:1", other)
    )
    assert after == before
    assert len(after) == 1


@pytest.mark.client("regctl", "modify")
@pytest.mark.client("regctl", "inspect")
def test_modified_image_is_added_to_the_one_it_was_made_from(regctl: Regctl, name: str, tmp_path: Path) -> None:
    regctl.run("image", "mod", f"{name}:1", "--create", "2", "--annotation", "a=b", "--label", "c=d")
    config = regctl.json("image", "inspect", f"{name}:2")
    assert config["config"]["Labels"] == {"c": "d"}
    manifest = regctl.json("manifest", "get", f"{name}:2", "--format", "raw-body")
    assert manifest["annotations"] == {"a": "b"}
    regctl.run("image", "copy", f"{name}:1", f"ocidir://{tmp_path}/back:1")
    assert blobs_of(tmp_path / "back") == blobs_of(tmp_path / "it")


@pytest.mark.client("regctl", "back up and restore")
def test_exported_image_is_imported_with_the_same_digest(
    registry: Server, regctl: Regctl, name: str, home: Path
) -> None:
    other = f"{registry.host}/{unique('regctl/import')}:1"
    regctl.run("image", "export", f"{name}:1", home / "image.tar")
    regctl.run("image", "import", other, home / "image.tar")
    assert regctl.run("image", "digest", other) == regctl.run("image", "digest", f"{name}:1")


@pytest.mark.client("regctl", "log in")
def test_login_is_needed_to_push_and_to_pull(guarded: Server, regctl: Regctl, tmp_path: Path) -> None:
    write_layout(tmp_path / "it", oci_image())
    here, there = f"ocidir://{tmp_path}/it:it", f"{guarded.host}/{unique('regctl/login')}:1"
    assert "unauthorized" in regctl.fails("image", "copy", here, there)
    login = ("registry", "login", guarded.host, "--user", USER)
    assert "unauthorized" in regctl.fails(*login, "--pass", "wrong")
    regctl.run(*login, "--pass", PASSWORD)
    regctl.run("image", "copy", here, there)
    regctl.run("image", "copy", there, f"ocidir://{tmp_path}/back:1")
    assert blobs_of(tmp_path / "back") == blobs_of(tmp_path / "it")
    regctl.run("registry", "logout", guarded.host)
    assert "unauthorized" in regctl.fails("image", "digest", there)
