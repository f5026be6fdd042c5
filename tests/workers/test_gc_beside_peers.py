"""Garbage collection compared with the CNCF registries' own: on a tree that one of the three filled over HTTP.

Where theirs is right, the same blobs are left. Where theirs is wrong, ours is not.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import Image, artifact, digest_of, image, index
from tests.cli.place import run
from tests.processes import Server, cncf3_program, cncf3_server, cncf_server, pyregistry_server, require
from tests.workers.http import ask

Filled = tuple[Server, Path]
Program = Callable[[], str]

WRITERS = {"2.8.2": cncf_server, "3.1.1": cncf3_server, "pyregistry": pyregistry_server}
PROGRAMS: dict[str, Program] = {
    "2.8.2": lambda: require("docker-registry", "docker-registry"),
    "3.1.1": cncf3_program,
}

every_writer = pytest.mark.parametrize("writer", WRITERS)
every_program = pytest.mark.parametrize("program", PROGRAMS)


def push_blob(server: Server, name: str, content: bytes) -> None:
    started = ask(server, "POST", f"/v2/{name}/blobs/uploads/")
    location = started.headers["Location"].removeprefix(server.url)
    assert ask(server, "PUT", f"{location}&digest={digest_of(content)}", content).status == 201


def push(server: Server, name: str, pushed: Image, reference: str | None = None) -> None:
    for blob in pushed.blobs:
        push_blob(server, name, blob)
    for child in pushed.children:
        push(server, name, child)
    path = f"/v2/{name}/manifests/{reference or pushed.digest}"
    answer = ask(server, "PUT", path, pushed.content, {"Content-Type": pushed.media_type})
    assert answer.status == 201, answer


def delete(server: Server, name: str, reference: str) -> None:
    assert ask(server, "DELETE", f"/v2/{name}/manifests/{reference}").status == 202


def blobs(server: Server) -> set[str]:
    """The digests of all blobs on disk."""
    return {f"sha256:{data.parent.name}" for data in server.tree.glob("blobs/sha256/*/*/data")}


def needed(*images: Image) -> set[str]:
    """The digests of all that these are made of."""
    found = {each.digest for each in images} | {digest_of(blob) for each in images for blob in each.blobs}
    return found.union(*(needed(*each.children) for each in images))


def collect(server: Server, *options: str) -> None:
    """Our own run; leases of what was pushed a moment ago are not asked."""
    done = run("gc", "--grace", "0", "-q", *options, server.config)
    assert done.returncode == 0, done.stderr


def collect_theirs(program: str, server: Server, *options: str) -> "subprocess.CompletedProcess[str]":
    """Theirs, with nothing running, as they ask for."""
    return subprocess.run(
        [PROGRAMS[program](), "garbage-collect", *options, str(server.config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
    )


def left_by_theirs(program: str, server: Server, *options: str) -> set[str]:
    """Return the blobs left after their run, and restore everything as it was before."""
    before = server.directory / "before"
    shutil.copytree(server.tree.parent.parent, before)
    try:
        collect_theirs(program, server, *options)
        return blobs(server)
    finally:
        shutil.rmtree(server.tree.parent.parent)
        before.rename(server.tree.parent.parent)


def filled(writer: str, directory: Path, fill: Callable[[Server], None]) -> Server:
    """A tree that `writer` made, which runs no longer."""
    with WRITERS[writer](directory) as server:
        fill(server)
    return server


SHARED, PLAIN, OTHER = image(b"base", b"shared"), image(b"base", b"plain"), image(b"other")
MULTI = index(image(b"amd64"), image(b"arm64"))


def fill_with_much(server: Server) -> None:
    """Images that share layers, a moved tag, deleted manifests, a removed repository, blobs of no manifest."""
    push(server, "app", PLAIN, "latest")
    push(server, "app", SHARED, "v1")
    push(server, "team/other", SHARED, "v1")
    push(server, "team/other", OTHER, "v2")
    push(server, "multi", MULTI, "latest")
    push(server, "moved", image(b"first"), "latest")
    push(server, "moved", image(b"second"), "latest")
    push(server, "deleted", image(b"base", b"deleted"), "latest")
    push(server, "removed", image(b"removed"), "latest")
    delete(server, "deleted", image(b"base", b"deleted").digest)
    delete(server, "team/other", SHARED.digest)
    for content in (b"alone", b"alone too"):
        push_blob(server, "app", content)
    shutil.rmtree(server.tree / "repositories/removed")


@every_writer
@every_program
def test_where_theirs_is_right_the_same_blobs_are_left(writer: str, program: str, tmp_path: Path) -> None:
    server = filled(writer, tmp_path, fill_with_much)
    theirs = left_by_theirs(program, server)
    collect(server)
    assert blobs(server) == theirs
    assert theirs == needed(PLAIN, SHARED, OTHER, MULTI, image(b"first"), image(b"second"))
    assert collect_theirs(program, server, "--dry-run").stdout.count("eligible for deletion:") == 0


@every_writer
def test_without_tags_the_same_blobs_are_left_where_theirs_is_right(writer: str, tmp_path: Path) -> None:
    server = filled(writer, tmp_path, fill_with_much)
    theirs = left_by_theirs("3.1.1", server, "-m")
    collect(server, "-m")
    assert blobs(server) == theirs == needed(PLAIN, SHARED, OTHER, MULTI, image(b"second"))


@every_writer
def test_children_of_a_tagged_index_stay_where_2_8_removes_them(writer: str, tmp_path: Path) -> None:
    server = filled(writer, tmp_path, lambda server: push(server, "multi", MULTI, "latest"))
    assert left_by_theirs("2.8.2", server, "-m") < needed(MULTI)
    collect(server, "-m")
    assert blobs(server) == needed(MULTI)


@every_writer
def test_referrers_of_what_lives_stay_where_3_1_removes_them(writer: str, tmp_path: Path) -> None:
    signature = artifact(MULTI.children[0], "application/vnd.test.signature")
    attestation = artifact(signature, "application/vnd.test.attestation")

    def fill(server: Server) -> None:
        push(server, "multi", MULTI, "latest")
        for each in (signature, attestation):
            push(server, "multi", each)

    server = filled(writer, tmp_path, fill)
    assert not needed(signature) <= left_by_theirs("3.1.1", server, "-m")
    collect(server, "-m")
    assert blobs(server) == needed(MULTI, signature, attestation)


@every_writer
def test_a_blob_here_that_is_a_child_there_keeps_its_layers(writer: str, tmp_path: Path) -> None:
    # A mark that is shared by all repositories ends the walk of 3.1 at a digest that is a plain blob elsewhere.
    child = image(b"layer of the child")

    def fill(server: Server) -> None:
        push(server, "a", image(child.content), "blob")
        push(server, "b", index(child), "multi")

    server = filled(writer, tmp_path, fill)
    collect(server, "-m")
    assert blobs(server) == needed(image(child.content), index(child))


@every_program
@every_writer
def test_an_empty_link_does_not_stop_it(writer: str, program: str, tmp_path: Path) -> None:
    def fill(server: Server) -> None:
        push(server, "app", PLAIN, "latest")
        push(server, "app", OTHER, "old")
        delete(server, "app", OTHER.digest)

    server = filled(writer, tmp_path, fill)
    link = server.tree / "repositories/app/_manifests/revisions/sha256" / PLAIN.digest.partition(":")[2] / "link"
    link.write_bytes(b"")
    before = blobs(server)
    assert left_by_theirs(program, server) == before
    collect(server)
    assert blobs(server) == needed(PLAIN)


@every_program
@every_writer
def test_an_emptied_repository_leaves_the_catalog(writer: str, program: str, tmp_path: Path) -> None:
    def fill(server: Server) -> None:
        push(server, "team/app", PLAIN, "latest")
        push(server, "other", OTHER, "latest")
        delete(server, "team/app", PLAIN.digest)

    server = filled(writer, tmp_path, fill)
    collect_theirs(program, server)
    assert (server.tree / "repositories/team/app").exists()
    collect(server)
    assert not (server.tree / "repositories/team").exists()
    with WRITERS[writer](tmp_path) as again:
        assert json.loads(ask(again, "GET", "/v2/_catalog").body) == {"repositories": ["other"]}
        push(again, "team/app", PLAIN, "latest")
