"""oras: files as artifacts, and referrers in every form; helm and notation use the same library."""

from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import PASSWORD, USER, payload
from tests.engine.client import Client
from tests.engine.containers import Skopeo
from tests.engine.images import digest_of, oci_image, oci_index, unique, write_layout
from tests.engine.wire import Wire
from tests.processes import Server

PLAIN = "--plain-http"
BOTH_PLAIN = ("--from-plain-http", "--to-plain-http")
KIND = ("--artifact-type", "application/x.thing")


@pytest.fixture
def name(registry: Server, oras: Client, home: Path) -> str:
    """A repository, its registry before it, with the files `big` and `empty` of the home as the artifact `1`."""
    name = f"{registry.host}/{unique('oras')}"
    payload(home / "big", 3_000_000)
    payload(home / "empty", 0)
    oras.run("push", PLAIN, *KIND, f"{name}:1", "big:application/x.big", "empty:text/plain")
    return name


def attach(oras: Client, home: Path, reference: str, kind: str, *options: str) -> str:
    """Attach a file of random bytes to an artifact; the digest of the new manifest."""
    payload(home / "attached")
    done: dict[str, Any] = oras.json(
        "attach", PLAIN, *options, "--artifact-type", kind, "--format", "json", reference, "attached"
    )
    return str(done["digest"])


def tree(oras: Client, reference: str) -> dict[str, Any]:
    """Return the referrers of a manifest, by digest, all the way up."""

    def below(node: dict[str, Any]) -> dict[str, Any]:
        return {child["digest"]: below(child) for child in node["referrers"]}

    return below(oras.json("discover", PLAIN, "--format", "json", reference))


@pytest.mark.client("oras", "push")
@pytest.mark.client("oras", "pull")
def test_pushed_files_come_back_with_the_same_bytes(oras: Client, name: str, home: Path) -> None:
    oras.run("pull", PLAIN, "--output", home / "back", f"{name}:1")
    found = {path.name: path.read_bytes() for path in (home / "back").iterdir()}
    assert found == {file: (home / file).read_bytes() for file in ("big", "empty")}


@pytest.mark.client("oras", "push")
@pytest.mark.client("oras", "pull")
def test_files_of_types_with_parameters_come_back(either: Server, oras: Client, home: Path) -> None:
    content, name = payload(home / "file"), f"{either.host}/{unique('oras/parameters')}:1"
    oras.run("push", PLAIN, *KIND, name, "file:text/plain; charset=utf-8")
    [found] = oras.json("manifest", "fetch", PLAIN, name)["layers"]
    assert found["mediaType"] == "text/plain; charset=utf-8"
    oras.run("pull", PLAIN, "--output", home / "back", name)
    assert (home / "back/file").read_bytes() == content


@pytest.mark.parametrize(
    "copier",
    [
        pytest.param("oras", marks=pytest.mark.client("oras", "copy")),
        pytest.param("crane", marks=pytest.mark.client("crane", "copy")),
        pytest.param("skopeo", marks=pytest.mark.client("skopeo", "copy")),
    ],
)
def test_artifact_of_a_type_with_parameters_is_copied_from_the_cncf_registry(
    running_upstream: Server, registry: Server, oras: Client, crane: Client, skopeo: Skopeo, home: Path, copier: str
) -> None:
    payload(home / "file")
    source, target = (f"{server.host}/{unique('oras/foreign')}:1" for server in (running_upstream, registry))
    oras.run("push", PLAIN, *KIND, source, "file:text/plain; charset=utf-8")
    if copier == "oras":
        oras.run("copy", *BOTH_PLAIN, source, target)
    elif copier == "crane":
        crane.run("copy", source, target)
    else:
        skopeo.copy(f"docker://{source}", f"docker://{target}")
    assert oras.run("resolve", PLAIN, target) == oras.run("resolve", PLAIN, source)


@pytest.mark.client("oras", "attach")
@pytest.mark.client("oras", "list referrers")
def test_discover_shows_what_is_attached_to_an_image_and_to_that(
    registry: Server, wire: Wire, oras: Client, home: Path
) -> None:
    image, repository = oci_image(), unique("oras/tree")
    wire.push(repository, "1", image)
    name = f"{registry.host}/{repository}"
    bill = attach(oras, home, f"{name}:1", "application/x.bill")
    signature = attach(oras, home, f"{name}@{bill}", "application/x.signature")
    note = attach(oras, home, f"{name}:1", "application/x.note")
    assert tree(oras, f"{name}:1") == {bill: {signature: {}}, note: {}}
    shown = [line.lstrip("│├└─ ") for line in oras.run("discover", PLAIN, "--format", "tree", f"{name}:1").splitlines()]
    assert shown.index("application/x.signature") + 1 == shown.index(signature) > shown.index(bill)
    chosen = oras.json("discover", PLAIN, "--format", "json", "--artifact-type", "application/x.note", f"{name}:1")
    assert [entry["digest"] for entry in chosen["referrers"]] == [note]
    oras.run("pull", PLAIN, "--output", home / "back", f"{name}@{note}")
    assert (home / "back/attached").read_bytes() == (home / "attached").read_bytes()


@pytest.mark.client("oras", "list referrers")
def test_attachment_by_the_tag_schema_is_found_by_the_api(oras: Client, name: str, home: Path) -> None:
    by_tag = attach(oras, home, f"{name}:1", "application/x.old", "--distribution-spec", "v1.1-referrers-tag")
    by_api = attach(oras, home, f"{name}:1", "application/x.new", "--distribution-spec", "v1.1-referrers-api")
    assert tree(oras, f"{name}:1") == {by_tag: {}, by_api: {}}


@pytest.mark.client("oras", "copy")
def test_recursive_copy_takes_the_referrers_along(registry: Server, oras: Client, name: str, home: Path) -> None:
    bill = attach(oras, home, f"{name}:1", "application/x.bill")
    attach(oras, home, f"{name}@{bill}", "application/x.signature")
    other = f"{registry.host}/{unique('oras/copy')}"
    oras.run("copy", "--recursive", *BOTH_PLAIN, f"{name}:1", f"{other}:1")
    assert tree(oras, f"{other}:1") == tree(oras, f"{name}:1")
    assert oras.run("resolve", PLAIN, f"{other}:1") == oras.run("resolve", PLAIN, f"{name}:1")


@pytest.mark.client("oras", "push an index")
@pytest.mark.client("oras", "pull an index")
def test_index_copied_from_a_layout_comes_back_with_all_platforms(
    registry: Server, wire: Wire, oras: Client, home: Path
) -> None:
    images = [oci_image(architecture=architecture) for architecture in ("amd64", "arm64")]
    repository = unique("oras/index")
    name = f"{registry.host}/{repository}:1"
    write_layout(home / "it", *images)
    oras.run("copy", "--from-oci-layout", "--to-plain-http", "it:it", name)
    assert wire.manifest(repository, "1").body == oci_index(*images)
    oras.run("copy", "--to-oci-layout", "--from-plain-http", name, "back:it")
    files = [{path.name: path.read_bytes() for path in (home / at / "blobs/sha256").iterdir()} for at in ("it", "back")]
    assert files[0] == files[1]


@pytest.mark.client("oras", "tag")
@pytest.mark.client("oras", "list tags")
@pytest.mark.client("oras", "list repositories")
def test_new_tags_are_listed_and_their_repository_too(registry: Server, oras: Client, name: str) -> None:
    oras.run("tag", PLAIN, f"{name}:1", "b", "a")
    assert oras.run("repo", "tags", PLAIN, name).split() == ["1", "a", "b"]
    assert oras.run("resolve", PLAIN, f"{name}:a") == oras.run("resolve", PLAIN, f"{name}:1")
    assert name.removeprefix(f"{registry.host}/") in oras.run("repo", "ls", PLAIN, registry.host).split()


@pytest.mark.client("oras", "inspect")
@pytest.mark.client("oras", "delete")
@pytest.mark.client("oras", "unknown name")
def test_manifest_is_fetched_byte_for_byte_until_it_is_deleted(
    registry: Server, wire: Wire, oras: Client, home: Path
) -> None:
    image, repository = oci_image(), unique("oras/fetch")
    wire.push(repository, "1", image)
    name = f"{registry.host}/{repository}"
    assert oras.run("resolve", PLAIN, f"{name}:1").strip() == digest_of(image.manifest)
    assert oras.run("manifest", "fetch", PLAIN, f"{name}:1").encode() == image.manifest
    assert oras.run("manifest", "fetch-config", PLAIN, f"{name}:1").encode() == image.config
    (home / "manifest.json").write_bytes(image.manifest)
    oras.run("manifest", "push", PLAIN, f"{name}:2", "manifest.json")
    assert wire.content(repository) == dict.fromkeys(("1", "2"), digest_of(image.manifest))
    oras.run("manifest", "delete", PLAIN, "--force", f"{name}@{digest_of(image.manifest)}")
    assert "not found" in oras.fails("manifest", "fetch", PLAIN, f"{name}:2")


@pytest.mark.client("oras", "single blobs")
def test_blob_is_pushed_fetched_and_deleted(registry: Server, oras: Client, home: Path) -> None:
    content = payload(home / "blob")
    name = f"{registry.host}/{unique('oras/blob')}"
    oras.run("blob", "push", PLAIN, name, "blob")
    oras.run("blob", "fetch", PLAIN, "--output", "back", f"{name}@{digest_of(content)}")
    assert (home / "back").read_bytes() == content
    oras.run("blob", "delete", PLAIN, "--force", f"{name}@{digest_of(content)}")
    assert "not found" in oras.fails("blob", "fetch", PLAIN, "--output", "again", f"{name}@{digest_of(content)}")


@pytest.mark.client("oras", "back up and restore")
def test_backup_is_restored_with_its_referrers(registry: Server, oras: Client, name: str, home: Path) -> None:
    attach(oras, home, f"{name}:1", "application/x.bill")
    oras.run("tag", PLAIN, f"{name}:1", "2")
    oras.run("backup", PLAIN, "--include-referrers", "--output", "backup.tar", name)
    other = f"{registry.host}/{unique('oras/restored')}"
    oras.run("restore", PLAIN, "--input", "backup.tar", other)
    assert oras.run("repo", "tags", PLAIN, other).split() == ["1", "2"]
    assert tree(oras, f"{other}:2") == tree(oras, f"{name}:1")
    oras.run("pull", PLAIN, "--output", "back", f"{other}:1")
    assert (home / "back/big").read_bytes() == (home / "big").read_bytes()


@pytest.mark.client("oras", "log in")
def test_login_is_needed_to_push_and_to_pull(guarded: Server, oras: Client, home: Path) -> None:
    content, name = payload(home / "file"), f"{guarded.host}/{unique('oras/login')}:1"
    assert "basic credential not found" in oras.fails("push", PLAIN, name, "file")
    login = ("login", PLAIN, guarded.host, "--username", USER)
    assert "unauthorized: authentication required" in oras.fails(*login, "--password", "wrong")
    oras.run(*login, "--password", PASSWORD)
    oras.run("push", PLAIN, name, "file")
    oras.run("pull", PLAIN, "--output", "back", name)
    assert (home / "back/file").read_bytes() == content
    oras.run("logout", guarded.host)
    assert "basic credential not found" in oras.fails("pull", PLAIN, "--output", "again", name)
