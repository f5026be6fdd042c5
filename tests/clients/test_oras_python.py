"""oras for Python, from PyPI: runs in this process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oras.oci import Subject
from oras.provider import Registry

from tests.clients.programs import PASSWORD, USER, own_settings, payload
from tests.engine.images import digest_of, unique
from tests.engine.wire import Wire
from tests.processes import Server

CHUNK = 200_000


@pytest.fixture
def files(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The pushed content; the client has no settings but those of the home."""
    for key, value in own_settings(home).items():
        monkeypatch.setenv(key, value)
    return {name: payload(home / name, size) for name, size in (("big", 3_000_000), ("small", 17), ("empty", 0))}


def client(host: str, backend: str) -> Iterator[Any]:
    """The client, whose connections are closed in the end."""
    registry = Registry(hostname=host, insecure=True, auth_backend=backend)
    with registry.session:
        yield registry


@pytest.fixture
def oras(registry: Server) -> Iterator[Any]:
    """A client of the open registry."""
    yield from client(registry.host, "token")


@pytest.fixture
def basic(guarded: Server) -> Iterator[Any]:
    """A client of the guarded registry."""
    yield from client(guarded.host, "basic")


def pushed(oras: Any, home: Path, target: str, *names: str, **options: Any) -> str:
    """Push files of the home; the digest of the manifest."""
    response = oras.push(
        target, files=[str(home / name) for name in names], disable_path_validation=True, quiet=True, **options
    )
    return str(response.headers["Docker-Content-Digest"])


def pulled(oras: Any, home: Path, target: str, **options: Any) -> dict[str, bytes]:
    """Every file of an artifact."""
    found = oras.pull(target, outdir=str(home / "back"), **options)
    return {Path(path).name: Path(path).read_bytes() for path in found}


@pytest.mark.client("oras-py", "push")
@pytest.mark.client("oras-py", "pull")
def test_pushed_files_come_back_with_the_same_bytes(
    registry: Server, wire: Wire, oras: Any, home: Path, files: dict[str, bytes]
) -> None:
    repository = unique("oras-py/files")
    digest = pushed(oras, home, f"{registry.host}/{repository}:1", *files)
    assert wire.content(repository) == {"1": digest}
    assert pulled(oras, home, f"{registry.host}/{repository}:1") == files


@pytest.mark.client("oras-py", "upload in chunks")
def test_files_sent_in_chunks_come_back_with_the_same_bytes(
    registry: Server, oras: Any, home: Path, files: dict[str, bytes]
) -> None:
    name = f"{registry.host}/{unique('oras-py/chunks')}:1"
    pushed(oras, home, name, "big", "small", do_chunked=True, chunk_size=CHUNK)
    assert pulled(oras, home, name) == {"big": files["big"], "small": files["small"]}


@pytest.mark.client("oras-py", "attach")
def test_artifact_with_a_subject_refers_to_it(
    registry: Server, wire: Wire, oras: Any, home: Path, files: dict[str, bytes]
) -> None:
    repository = unique("oras-py/subject")
    name = f"{registry.host}/{repository}"
    pushed(oras, home, f"{name}:1", "big")
    first = wire.manifest(repository, "1").must(200)
    subject = Subject(first.headers["content-type"], digest_of(first.body), len(first.body))
    second = pushed(oras, home, f"{name}:2", "small", subject=subject)
    found = wire.request("GET", f"/v2/{repository}/referrers/{subject.digest}").must(200).json()
    assert [entry["digest"] for entry in found["manifests"]] == [second]


@pytest.mark.client("oras-py", "list tags")
@pytest.mark.client("oras-py", "delete")
@pytest.mark.client("oras-py", "inspect")
def test_deleted_tag_is_no_longer_listed(registry: Server, oras: Any, home: Path, files: dict[str, bytes]) -> None:
    name = f"{registry.host}/{unique('oras-py/tags')}"
    pushed(oras, home, f"{name}:a", "big")
    pushed(oras, home, f"{name}:b", "small")
    assert oras.get_tags(name) == ["a", "b"]
    assert oras.get_manifest(f"{name}:a")["layers"][0]["digest"] == digest_of(files["big"])
    assert oras.delete_tags(name, ["a"]) == ["a"]
    assert oras.get_tags(name) == ["b"]


@pytest.mark.client("oras-py", "log in")
def test_login_is_needed_to_push_and_to_pull(guarded: Server, basic: Any, home: Path, files: dict[str, bytes]) -> None:
    name, config = f"{guarded.host}/{unique('oras-py/login')}:1", str(home / "config.json")
    basic.auth.set_basic_auth(USER, "wrong")  # with no credentials at all it tries again for two minutes
    with pytest.raises(ValueError, match="authentication required"):
        pushed(basic, home, name, "small")
    basic.login(USER, PASSWORD, hostname=guarded.host, config_path=config)
    pushed(basic, home, name, "small", config_path=config)
    assert pulled(basic, home, name, config_path=config) == {"small": files["small"]}
