"""A tree that the CNCF registry 3.1.1 wrote and serves is a sound one: fsck, gc, ls and du say so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import Image, artifact, digest_of, image, index
from tests.engine.wire import Wire
from tests.processes import Server, cncf3_server, pyregistry_server

IMAGE, SBOM, SIGNATURE = image(), artifact(image()), artifact(image(), "application/vnd.test.signature")
DEEP = "/".join("a" * 128)
"""As many components as 255 characters can be."""


def push(wire: Wire, repository: str, reference: str, pushed: Image) -> None:
    for child in pushed.children:
        push(wire, repository, child.digest, child)
    for blob in pushed.blobs:
        wire.push_blob(repository, blob)
    wire.push_manifest(repository, reference, pushed.content, pushed.media_type)


def command(server: Server, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run `pyregistry` on the server's tree."""
    program = [sys.executable, "-m", "pyregistry", *words]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)


def fsck(server: Server, *, damage: bool = True) -> list[str]:
    """Return the kinds of what fsck finds, of damage or of all else; assert that its status says the same."""
    done = command(server, "fsck", str(server.config), "--json")
    found = json.loads(done.stdout)["findings"]
    assert (done.returncode == 0) == (not any(finding["damage"] for finding in found)), done
    return [finding["kind"] for finding in found if finding["damage"] == damage]


@pytest.fixture
def tree(tmp_path: Path) -> Server:
    """A tree that the CNCF registry wrote, as a server of ours that was not started."""
    with cncf3_server(tmp_path) as cncf, Wire(cncf) as wire:
        push(wire, "app", "v1", IMAGE)
        for referrer in (SBOM, SIGNATURE):
            push(wire, "app", referrer.digest, referrer)
        fallback = index(SBOM, SIGNATURE)
        wire.push_manifest("app", IMAGE.digest.replace(":", "-"), fallback.content, fallback.media_type)
        push(wire, DEEP, "v1", IMAGE)
    return pyregistry_server(tmp_path)


def test_referrers_under_the_fallback_tag_are_no_damage(tree: Server) -> None:
    assert fsck(tree) == []
    with tree as server, Wire(server) as wire:
        listed = wire.request("GET", f"/v2/app/referrers/{IMAGE.digest}").must(200).json()["manifests"]
        assert {entry["digest"] for entry in listed} == {SBOM.digest, SIGNATURE.digest}


def test_referrers_that_no_client_listed_are_no_damage_and_made_by_a_repair(tree: Server) -> None:
    # A copy by skopeo writes no list.
    with cncf3_server(tree.directory) as cncf, Wire(cncf) as wire:
        wire.request("DELETE", f"/v2/app/manifests/{IMAGE.digest.replace(':', '-')}").must(202)
    assert fsck(tree) == []
    assert fsck(tree, damage=False).count("unlisted-referrer") == 2
    command(tree, "fsck", str(tree.config), "--repair")
    assert fsck(tree) == []
    assert "unlisted-referrer" not in fsck(tree, damage=False)
    with tree as server, Wire(server) as wire:
        listed = wire.request("GET", f"/v2/app/referrers/{IMAGE.digest}").must(200).json()["manifests"]
        assert {entry["digest"] for entry in listed} == {SBOM.digest, SIGNATURE.digest}


@pytest.mark.parametrize("padded", ["_manifests/tags/v1/current/link", "_manifests/revisions/*/*/link"])
def test_a_link_with_a_newline_that_pulls_is_no_loss(tree: Server, padded: str) -> None:
    links = list((tree.tree / "repositories/app").glob(padded))
    assert links
    for link in links:
        link.write_bytes(link.read_bytes() + b"\n")
    assert fsck(tree) == []
    with tree as server, Wire(server) as wire:
        assert wire.digest("app", "v1") == IMAGE.digest
    command(tree, "fsck", str(tree.config), "--repair")
    assert {len(link.read_bytes()) for link in links} == {71}
    assert fsck(tree) == []


def test_a_name_of_128_components_is_one_like_any_other(tree: Server) -> None:
    assert DEEP in command(tree, "ls", "--json", "-c", str(tree.config)).stdout
    assert DEEP in command(tree, "du", "--json", str(tree.config)).stdout
    with tree as server, Wire(server) as wire:
        assert wire.repositories() == {"app", DEEP}
        assert wire.digest(DEEP, "v1") == IMAGE.digest
        push(wire, f"{DEEP[:-1]}b", "v2", image(b"another"))
        assert server.faults() == []
    assert fsck(tree) == []
    for words in (("gc", str(tree.config), "--json"), ("gc", str(tree.config), "--delete-untagged", "--json")):
        done = command(tree, *words)
        assert done.returncode == 0, done.stderr
    with tree as server, Wire(server) as wire:
        for blob in IMAGE.blobs:
            assert wire.request("GET", f"/v2/{DEEP}/blobs/{digest_of(blob)}").must(200).body == blob
