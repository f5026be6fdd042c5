"""A volume as Kubernetes gives it with `fsGroup`: the files are root's, and the service is in their group."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.local import leases
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from tests.builders import Image, digest_of, image
from tests.processes import Server, data_directory, pyregistry_server, require, require_root
from tests.storage.pushing import push_image, registry_on, repository
from tests.workers.http import ask, start_upload

USER, GROUP = "1001", "7777"
OLD = image(b"reused")
NEW = image(b"reused", b"new", config=b'{"new": 1}')
SAME_BLOBS = image(b"reused", annotations={"another": "manifest"})
# Of what it may not change, the interpreter and the test's files, it may read all.
AS_USER = ("--reuid", USER, "--regid", GROUP, "--clear-groups")
READS_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


@dataclass(frozen=True)
class Rights:
    """Modes of all files, of all directories, and of the files in `.pyregistry`."""

    files: int
    directories: int = 0o2775
    own: int = 0o664


RIGHTS: Mapping[str, Rights] = {"group may write": Rights(0o664), "group may replace": Rights(0o644)}


def as_user() -> list[str]:
    require_root()
    return [require("setpriv", "util-linux"), *AS_USER, *READS_ALL]


def give_away(data: Path, rights: Rights) -> None:
    for path in (data, *data.rglob("*")):
        os.chown(path, 0, int(GROUP))
        own = layout.PRIVATE in path.parts
        path.chmod(rights.directories if path.is_dir() else rights.own if own else rights.files)


@pytest.fixture
def everybodys() -> Iterator[Path]:
    """A directory that others may look into, as those of pytest are not."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


@pytest.fixture(params=RIGHTS)
def foreign(request: pytest.FixtureRequest, everybodys: Path) -> Iterator[Server]:
    """A server on a tree that root filled before."""
    prefix = as_user()
    server = pyregistry_server(everybodys, pyregistry={"workers": 2})
    data = data_directory(everybodys)
    driver = FilesystemDriver(data)
    (data / layout.LOCKS).mkdir(parents=True)
    registry = registry_on(driver)
    for name in ("app", "other"):
        push_image(repository(registry, name), OLD, "old")
    driver.make_directory(layout.trash(layout.PRIVATE))
    give_away(data, RIGHTS[request.param])
    server.command = [*prefix, *server.command]
    with server:
        yield server
        assert server.faults() == []


def lease(server: Server, name: str, content: bytes) -> int:
    link = layout.layer_link(RepositoryName(name), Digest.of(content))
    return (data_directory(server.directory) / link).stat().st_mtime_ns


def put(server: Server, name: str, pushed: Image, reference: str) -> int:
    path = f"/v2/{name}/manifests/{reference}"
    return ask(server, "PUT", path, pushed.content, {"Content-Type": pushed.media_type}).status


def push(server: Server, name: str, pushed: Image, tag: str) -> None:
    """As clients do: a blob that is there is not sent."""
    for blob in pushed.blobs:
        digest = digest_of(blob)
        if ask(server, "HEAD", f"/v2/{name}/blobs/{digest}").status == 200:
            continue
        assert ask(server, "PUT", f"{start_upload(server, name)}?digest={digest}", blob).status == 201
    assert put(server, name, pushed, tag) == 201


def assert_pulled(server: Server, name: str, pushed: Image, tag: str) -> None:
    assert ask(server, "GET", f"/v2/{name}/manifests/{tag}").body == pushed.content
    for blob in pushed.blobs:
        assert ask(server, "GET", f"/v2/{name}/blobs/{digest_of(blob)}").body == blob


def test_a_push_that_reuses_a_layer_works(foreign: Server) -> None:
    push(foreign, "app", NEW, "new")
    assert_pulled(foreign, "app", NEW, "new")
    assert lease(foreign, "app", b"reused") == leases.ENDED_NS
    push(foreign, "app", SAME_BLOBS, "same")
    assert_pulled(foreign, "app", SAME_BLOBS, "same")


def test_another_tag_for_an_image_that_is_there_works(foreign: Server) -> None:
    assert put(foreign, "app", OLD, "another") == 201
    assert put(foreign, "app", OLD, "old") == 201
    assert_pulled(foreign, "app", OLD, "another")


def test_a_head_begins_a_lease(foreign: Server) -> None:
    assert lease(foreign, "app", b"reused") == leases.ENDED_NS
    assert ask(foreign, "HEAD", f"/v2/app/blobs/{digest_of(b'reused')}").status == 200
    assert lease(foreign, "app", b"reused") > leases.ENDED_NS
    assert ask(foreign, "HEAD", f"/v2/app/manifests/{OLD.digest}").status == 200


def test_a_blob_that_is_there_is_uploaded_and_mounted(foreign: Server) -> None:
    digest = digest_of(b"reused")
    assert ask(foreign, "PUT", f"{start_upload(foreign, 'app')}?digest={digest}", b"reused").status == 201
    answer = ask(foreign, "POST", f"/v2/new/blobs/uploads/?mount={digest}&from=other")
    assert answer.status == 201
    answer = ask(foreign, "POST", f"/v2/app/blobs/uploads/?mount={digest}&from=other")
    assert answer.status == 201
    push(foreign, "new", OLD, "latest")
    assert_pulled(foreign, "new", OLD, "latest")


def test_what_is_deleted_is_collected_and_what_is_used_is_not(foreign: Server) -> None:
    push(foreign, "app", NEW, "new")
    assert ask(foreign, "DELETE", f"/v2/app/manifests/{OLD.digest}").status == 202
    assert ask(foreign, "DELETE", f"/v2/other/manifests/{OLD.digest}").status == 202
    command = [*as_user(), sys.executable, "-m", "pyregistry", "gc", str(foreign.config)]
    done = subprocess.run(command, env=foreign.env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert ask(foreign, "GET", "/v2/_catalog").body == b'{"repositories":["app"]}\n'
    assert_pulled(foreign, "app", NEW, "new")
    manifest = data_directory(foreign.directory) / layout.blob_data(Digest(OLD.digest))
    assert not manifest.exists()


def test_it_is_ready(foreign: Server) -> None:
    answer = ask(foreign, "GET", "/readyz")
    assert (answer.status, answer.body) == (200, b'{"status":"ok"}')
