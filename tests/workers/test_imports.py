"""A worker imports nothing by itself: all modules are there before the fork, so that processes share their memory."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.builders import OCI_MANIFEST, digest_of, image
from tests.processes import SOURCE_TREE, Server, pyregistry_server
from tests.push import path_of
from tests.workers.http import ask
from tests.workers.workers import workers_of

_USER = basic("alice", "secret")
_WATCHING = """
import os, sys

class Watch:  # asked first for each module that is not there yet
    def __init__(self):
        self.imported = open(os.path.join({directory!r}, str(os.getpid())), "w", buffering=1)

    def find_spec(self, name, path, target=None):
        self.imported.write(name + "\\n")

os.register_at_fork(after_in_child=lambda: sys.meta_path.insert(0, Watch()))
"""


def _push(server: Server, blob: bytes) -> None:
    location = path_of(ask(server, "POST", "/v2/app/blobs/uploads/", headers=_USER).headers["Location"])
    assert ask(server, "PATCH", location, [blob[:1]], _USER).status == 202
    assert ask(server, "PUT", f"{location}?digest={digest_of(blob)}", blob[1:], _USER).status == 201


def _use(server: Server) -> None:
    for number in range(4):  # any worker may respond
        pushed = image(b"layer %d" % number)
        for blob in pushed.blobs:
            _push(server, blob)
        headers = {"Content-Type": OCI_MANIFEST, **_USER}
        assert ask(server, "PUT", "/v2/app/manifests/v1", pushed.content, headers).status == 201
        for path in (
            "_catalog",
            "app/tags/list",
            "app/manifests/v1",
            f"app/blobs/{digest_of(pushed.blobs[0])}",
            f"app/referrers/{digest_of(pushed.content)}",
        ):
            assert ask(server, "GET", f"/v2/{path}", headers=_USER).status == 200
        assert ask(server, "GET", "/v2/app/manifests/none", headers=_USER).status == 404


@pytest.mark.parametrize("has_all", [False, True], ids=["the least", "users, rules, tokens, metrics and a schedule"])
def test_a_worker_imports_nothing(tmp_path: Path, has_all: bool) -> None:
    imported, site, htpasswd = tmp_path / "imported", tmp_path / "site", tmp_path / "htpasswd"
    for each in (imported, site):
        each.mkdir()
    (site / "sitecustomize.py").write_text(_WATCHING.format(directory=str(imported)))
    write_htpasswd(htpasswd, {"alice": "secret"})
    config: dict[str, Any] = {"pyregistry": {"workers": 2}}
    if has_all:
        rules = [
            {"repositories": "**", "who": "alice", "actions": ["pull", "push"]},
            {"repositories": "public/**", "who": "everyone", "actions": "pull"},
        ]
        config["auth"] = auth_section(htpasswd)
        config["pyregistry"] |= {"gc": {"interval": "24h"}, "access": rules, "metrics": True}
    server = pyregistry_server(tmp_path, **config)
    server.env["PYTHONPATH"] = f"{site}{os.pathsep}{SOURCE_TREE}"
    with server:
        if has_all:
            token = ask(server, "GET", "/auth/token?scope=repository:public/app:pull").body
            assert b'"token"' in token
            for _ in range(8):  # any worker may respond
                assert b"pyregistry_build_info" in ask(server, "GET", "/metrics", headers=_USER).body
        _use(server)
        found = {pid: (imported / str(pid)).read_text().split() for pid in workers_of(server)}
    assert len(found) == 2
    assert not any(found.values()), found
