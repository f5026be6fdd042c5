"""Garbage collection while the server runs: its own runs, and an operator's habit."""

import json
import os
import shutil
import time
from pathlib import Path

from pyregistry.storage.seams import layout
from tests.builders import digest_of, image
from tests.cli.place import run
from tests.processes import Server, pyregistry_server, wait_until
from tests.workers.http import ask, push_in_chunks

IMAGE = image(b"a layer")


def push(server: Server, name: str) -> None:
    for blob in IMAGE.blobs:
        assert push_in_chunks(server, name, [blob]).status == 201
    answer = ask(server, "PUT", f"/v2/{name}/manifests/latest", IMAGE.content, {"Content-Type": IMAGE.media_type})
    assert answer.status == 201, answer


def pull(server: Server, name: str) -> None:
    assert ask(server, "GET", f"/v2/{name}/manifests/latest").body == IMAGE.content
    for blob in IMAGE.blobs:
        assert ask(server, "GET", f"/v2/{name}/blobs/{digest_of(blob)}").body == blob


def blobs(server: Server) -> list[Path]:
    return list(server.tree.glob("blobs/sha256/*/*/data"))


def catalog(server: Server) -> list[str]:
    names: list[str] = json.loads(ask(server, "GET", "/v2/_catalog").body)["repositories"]
    return names


def test_rm_then_gc_frees_the_space_and_the_same_image_pushes_again_without_a_restart(server: Server) -> None:
    push(server, "nginx")
    pull(server, "nginx")
    for attempt in range(2):
        shutil.rmtree(server.tree / "repositories/nginx")
        assert ask(server, "GET", "/v2/nginx/tags/list").status == 404
        assert "nginx" not in catalog(server)
        assert run("gc", "-q", server.config).returncode == 0
        assert blobs(server) == []
        for blob in IMAGE.blobs:
            assert ask(server, "HEAD", f"/v2/nginx/blobs/{digest_of(blob)}").status == 404
        push(server, "nginx")
        pull(server, "nginx")
        assert catalog(server) == ["nginx"], attempt
    assert server.faults() == []


def test_runs_of_the_server_s_own_happen_once_an_interval_whatever_the_number_of_workers(tmp_path: Path) -> None:
    with pyregistry_server(tmp_path, pyregistry={"workers": 3, "metrics": True, "gc": {"interval": "1s"}}) as server:
        push(server, "kept")
        push(server, "gone")
        assert push_in_chunks(server, "gone", [b"only here"]).status == 201
        shutil.rmtree(server.tree / "repositories/gone")
        wait_until(lambda: len(blobs(server)) == 3, "what only the removed repository had is freed")
        wait_until(lambda: server.output().count("garbage collection") >= 3, "it runs again")
        pull(server, "kept")
        report = json.loads((tmp_path / "data/.pyregistry/gc.json").read_bytes())
        assert (report["repositories"], report["blobs"], report["skipped"]) == (1, 3, [])
        assert "\npyregistry_gc_last_run_blobs 3.0\n" in ask(server, "GET", "/metrics").body.decode()
        assert server.faults() == []
        assert "failed" not in server.output()


def test_a_run_that_cannot_be_made_is_said_and_the_server_goes_on(tmp_path: Path) -> None:
    with pyregistry_server(tmp_path, pyregistry={"workers": 1, "gc": {"interval": "1s"}}) as server:
        push(server, "app")
        shutil.rmtree(server.tree / "repositories")
        wait_until(
            lambda: "no directory docker/registry/v2/repositories" in server.output(), "the safety check is logged"
        )
        assert len(blobs(server)) == 3
        push(server, "app")
        pull(server, "app")


def test_with_data_in_memory_the_server_collects_as_well(tmp_path: Path) -> None:
    server = pyregistry_server(
        tmp_path, storage={"filesystem": None}, pyregistry={"gc": {"interval": "1s", "grace": "0"}}
    )
    server.config.write_text(server.config.read_text().replace("filesystem: null", "inmemory: {}"))
    with server:
        assert push_in_chunks(server, "app", [b"never used"]).status == 201
        digest = digest_of(b"never used")
        wait_until(lambda: ask(server, "GET", f"/v2/app/blobs/{digest}").status == 404, "it is freed")
        assert server.faults() == []


def test_a_run_with_a_shorter_grace_than_the_server_s_takes_nothing_that_was_just_promised(tmp_path: Path) -> None:
    digest = digest_of(b"a layer")
    with pyregistry_server(tmp_path, pyregistry={"workers": 2}) as server:
        assert (tmp_path / "data" / layout.RENEWAL).read_text() == "180"
        assert push_in_chunks(server, "app", [b"a layer"]).status == 201
        [link] = server.tree.glob(f"repositories/app/_layers/sha256/{digest[7:]}/link")
        before = time.time() - 100  # younger than what this server renews
        os.utime(link, (before, before))
        assert ask(server, "HEAD", f"/v2/app/blobs/{digest}").status == 200
        assert run("gc", "-q", "--grace", "60s", server.config).returncode == 0
        assert ask(server, "GET", f"/v2/app/blobs/{digest}").body == b"a layer"
        assert run("gc", "-q", "--grace", "0", server.config).returncode == 0
        assert ask(server, "GET", f"/v2/app/blobs/{digest}").status == 404
