"""Container engines and skopeo before a registry with a password; their other tests are in tests/engine."""

import os
from pathlib import Path

import pytest

from tests.clients.programs import PASSWORD, USER
from tests.engine.client import Client
from tests.engine.containers import Buildah, Podman, Skopeo
from tests.engine.engine import Engine
from tests.engine.images import digest_of, oci_image, unique, write_layout
from tests.engine.test_containerd import NATIVE, PLAIN, Containerd, held, imported
from tests.processes import Server, require_root, start_or_skip

CREDENTIALS = ("--username", USER, "--password", PASSWORD)
WRONG = ("--username", USER, "--password", "wrong")
INSECURE = "--tls-verify=false"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Content that no other image has."""
    path = tmp_path / "content"
    path.write_bytes(os.urandom(200_000))
    return path


@pytest.mark.client("docker", "log in")
def test_docker_login_is_needed_to_push_and_to_pull(guarded: Server, docker: Engine, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "content").write_bytes(os.urandom(200_000))
    name = f"{guarded.host}/{unique('docker/login')}:1"
    identity = docker.build(name, context)
    own = ("--config", tmp_path / "config")
    assert "no basic auth credentials" in docker.fails(*own, "push", name)
    assert "401 Unauthorized" in docker.fails(*own, "login", *WRONG, guarded.host)
    docker.run(*own, "login", *CREDENTIALS, guarded.host)
    docker.run(*own, "push", name)
    docker.forget(name)
    docker.run(*own, "pull", name)
    assert docker.image_id(name) == identity
    docker.forget(name)
    docker.run(*own, "logout", guarded.host)
    assert "no basic auth credentials" in docker.fails(*own, "pull", name)


@pytest.mark.client("ctr", "log in")
def test_ctr_pushes_and_pulls_with_a_password_only(guarded: Server, scratch: Path, tmp_path: Path) -> None:
    require_root()
    image, directory = oci_image(), scratch / "containerd"
    write_layout(tmp_path / "it", image)
    directory.mkdir()
    with_password = ("--user", f"{USER}:{PASSWORD}", PLAIN)
    containerd = Containerd(directory)
    try:
        start_or_skip(containerd)
        ctr: Client = containerd.ctr
        name = imported(ctr, f"{guarded.host}/{unique('containerd/login')}", tmp_path / "it")
        assert "401 Unauthorized" in ctr.fails("images", "push", PLAIN, name)
        ctr.run("images", "push", *with_password, name)
        ctr.run("images", "remove", "--sync", name)
        assert "401 Unauthorized" in ctr.fails("images", "pull", PLAIN, *NATIVE, name)
        ctr.run("images", "pull", *with_password, *NATIVE, name)
        assert {digest_of(content) for content in (*image.blobs, image.manifest)} <= held(ctr)
    finally:
        containerd.stop()


@pytest.mark.client("podman", "log in")
def test_podman_login_is_needed_to_push_and_to_pull(
    guarded: Server, buildah: Buildah, podman: Podman, file: Path, tmp_path: Path
) -> None:
    name = f"{guarded.host}/{unique('podman/login')}:1"
    identity = buildah.build(name, file)
    own = ("--authfile", tmp_path / "auth.json")
    remote = podman.settings.remote
    assert "unauthorized" in podman.fails("push", *remote, name)
    assert "invalid username/password" in podman.fails("login", INSECURE, *own, *WRONG, guarded.host)
    podman.run("login", INSECURE, *own, *CREDENTIALS, guarded.host)
    podman.run("push", *remote, *own, name)
    podman.run("rmi", name)
    assert "unauthorized" in podman.fails("pull", *remote, name)
    assert podman.run("pull", *remote, *own, name).strip() == identity


@pytest.mark.client("buildah", "log in")
def test_buildah_login_is_needed_to_push_and_to_pull(
    guarded: Server, buildah: Buildah, file: Path, tmp_path: Path
) -> None:
    name = f"{guarded.host}/{unique('buildah/login')}:1"
    identity = buildah.build(name, file)
    own = ("--authfile", tmp_path / "auth.json")
    remote = buildah.settings.remote
    assert "unauthorized" in buildah.fails("push", *remote, name)
    assert "invalid username/password" in buildah.fails("login", INSECURE, *own, *WRONG, guarded.host)
    buildah.run("login", INSECURE, *own, *CREDENTIALS, guarded.host)
    buildah.run("push", *remote, *own, name)
    buildah.run("rmi", name)
    assert "unauthorized" in buildah.fails("pull", *remote, name)
    assert buildah.run("pull", *remote, *own, name).strip() == identity


@pytest.mark.client("skopeo", "log in")
def test_skopeo_login_is_needed_to_push_and_to_pull(guarded: Server, skopeo: Skopeo, tmp_path: Path) -> None:
    image = oci_image()
    there, back = f"docker://{guarded.host}/{unique('skopeo/login')}:1", tmp_path / "back"
    here = write_layout(tmp_path / "it", image)
    own = ("--authfile", str(tmp_path / "auth.json"))
    assert "unauthorized" in skopeo.fails("copy", "--dest-tls-verify=false", here, there)
    assert "invalid username/password" in skopeo.fails("login", INSECURE, *own, *WRONG, guarded.host)
    skopeo.run("login", INSECURE, *own, *CREDENTIALS, guarded.host)
    skopeo.copy(here, there, "--preserve-digests", *own)
    skopeo.copy(there, f"dir:{back}", "--preserve-digests", *own)
    assert (back / "manifest.json").read_bytes() == image.manifest
    skopeo.run("logout", *own, guarded.host)
    assert "unauthorized" in skopeo.fails("inspect", INSECURE, *own, there)
