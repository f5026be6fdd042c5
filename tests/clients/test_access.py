"""The documented rules with real clients: all pull `public/**`, a CI user pushes `ci/**`, one admin does everything."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.auth.credentials import auth_section, write_htpasswd
from tests.clients.programs import blobs_of, payload
from tests.engine.client import Client
from tests.engine.containers import Buildah, Podman, Skopeo
from tests.engine.engine import Engine
from tests.engine.images import digest_of, oci_image, unique, write_layout
from tests.engine.test_containerd import NATIVE, PLAIN, Containerd, held, imported
from tests.processes import Server, forked_server, require_root, start_or_skip

ACCESS = [
    {"repositories": "**", "who": "admin", "actions": ["pull", "push", "delete"]},
    {"repositories": "ci/**", "who": "ci", "actions": ["pull", "push"]},
    {"repositories": "public/**", "who": "everyone", "actions": "pull"},
]
PASSWORDS = {"admin": "of the admin", "ci": "of the machine", "guest": "of nobody"}
INSECURE = "--tls-verify=false"
DENIED = "denied: requested access to the resource is denied"


def login(user: str) -> tuple[str, ...]:
    return "--username", user, "--password", PASSWORDS[user]


@pytest.fixture(scope="session")
def running_ruled(scratch: Path) -> Iterator[Server]:
    """One pyregistry with the rules for all tests."""
    directory = scratch / "ruled"
    directory.mkdir()
    write_htpasswd(directory / "htpasswd", PASSWORDS)
    own = {"access": ACCESS, "workers": 2}
    with forked_server(directory, auth=auth_section(directory / "htpasswd"), pyregistry=own) as server:
        yield server


@pytest.fixture
def ruled(running_ruled: Server) -> Iterator[Server]:
    """The registry with the rules; no internal error and no password may come up in it."""
    before = running_ruled.log.stat().st_size
    yield running_ruled
    assert not running_ruled.faults(before), running_ruled.output()
    assert not [password for password in PASSWORDS.values() if password in running_ruled.log.read_text()]


@pytest.fixture
def names(ruled: Server) -> tuple[str, str]:
    """An image that all may pull, and one of the CI user."""
    return f"{ruled.host}/{unique('public/app')}:1", f"{ruled.host}/{unique('ci/app')}:1"


@pytest.mark.client("docker", "pull without login")
@pytest.mark.client("docker", "be denied")
def test_docker(ruled: Server, docker: Engine, names: tuple[str, str], tmp_path: Path) -> None:
    public, of_ci = names
    context = tmp_path / "context"
    context.mkdir()
    (context / "content").write_bytes(os.urandom(200_000))
    identity = docker.build(public, context)
    docker.run("tag", public, of_ci)
    own = ("--config", tmp_path / "config")
    assert DENIED in docker.fails(*own, "push", public)
    docker.run(*own, "login", *login("admin"), ruled.host)
    docker.run(*own, "push", public)
    docker.run(*own, "logout", ruled.host)
    docker.forget(public)
    docker.run(*own, "pull", public)
    assert docker.image_id(public) == identity
    assert DENIED in docker.fails(*own, "push", public)
    docker.run(*own, "login", *login("ci"), ruled.host)
    docker.run(*own, "push", of_ci)
    assert DENIED in docker.fails(*own, "push", public)
    docker.run(*own, "login", *login("guest"), ruled.host)
    docker.forget(public, of_ci)
    docker.run(*own, "pull", public)
    assert DENIED in docker.fails(*own, "pull", of_ci)
    docker.run(*own, "logout", ruled.host)
    docker.forget(public)


@pytest.mark.client("ctr", "pull without login")
@pytest.mark.client("ctr", "be denied")
def test_ctr(ruled: Server, scratch: Path, names: tuple[str, str], tmp_path: Path) -> None:
    require_root()
    public, of_ci = (name.removesuffix(":1") for name in names)
    image, directory = oci_image(), scratch / "containerd-ruled"
    write_layout(tmp_path / "it", image)
    directory.mkdir()
    containerd = Containerd(directory)

    def user(name: str) -> tuple[str, str, str]:
        return "--user", f"{name}:{PASSWORDS[name]}", PLAIN

    try:
        start_or_skip(containerd)
        ctr: Client = containerd.ctr
        public, of_ci = imported(ctr, public, tmp_path / "it"), imported(ctr, of_ci, tmp_path / "it")
        assert "insufficient_scope: authorization failed" in ctr.fails("images", "push", PLAIN, public)
        ctr.run("images", "push", *user("admin"), public)
        ctr.run("images", "push", *user("ci"), of_ci)
        again = public.removesuffix(":it") + ":again"
        ctr.run("images", "tag", public, again)
        # It says "closed pipe" where the answer came before it began to send the manifest.
        assert re.search("403 Forbidden|closed pipe", ctr.fails("images", "push", *user("ci"), again))
        repository = again.partition("/")[2].removesuffix(":again")
        assert not (ruled.tree / "repositories" / repository / "_manifests/tags/again").exists()
        ctr.run("images", "remove", "--sync", public, again, of_ci)
        ctr.run("images", "pull", PLAIN, *NATIVE, public)
        assert {digest_of(content) for content in (*image.blobs, image.manifest)} <= held(ctr)
        assert "403 Forbidden" in ctr.fails("images", "pull", *user("guest"), *NATIVE, of_ci)
    finally:
        containerd.stop()


@pytest.mark.client("podman", "pull without login")
@pytest.mark.client("podman", "be denied")
def test_podman(ruled: Server, buildah: Buildah, podman: Podman, names: tuple[str, str], tmp_path: Path) -> None:
    public, of_ci = names
    payload(tmp_path / "content")
    identity = buildah.build(public, tmp_path / "content")
    podman.run("tag", public, of_ci)
    remote, own = podman.settings.remote, ("--authfile", tmp_path / "auth.json")
    assert "unauthorized" in podman.fails("push", *remote, public)
    podman.run("login", INSECURE, *own, *login("admin"), ruled.host)
    podman.run("push", *remote, *own, public)
    podman.run("rmi", public)
    assert podman.run("pull", *remote, public).strip() == identity
    podman.run("login", INSECURE, *own, *login("ci"), ruled.host)
    podman.run("push", *remote, *own, of_ci)
    assert "denied" in podman.fails("push", *remote, *own, public)
    podman.run("login", INSECURE, *own, *login("guest"), ruled.host)
    assert "denied" in podman.fails("pull", *remote, *own, of_ci)


@pytest.mark.client("skopeo", "pull without login")
@pytest.mark.client("skopeo", "be denied")
def test_skopeo(ruled: Server, skopeo: Skopeo, names: tuple[str, str], tmp_path: Path) -> None:
    public, of_ci = (f"docker://{name}" for name in names)
    image = oci_image()
    here, own = write_layout(tmp_path / "it", image), ("--authfile", str(tmp_path / "auth.json"))
    plain = "--dest-tls-verify=false"
    assert "unauthorized" in skopeo.fails("copy", plain, here, public)
    skopeo.run("login", INSECURE, *own, *login("admin"), ruled.host)
    skopeo.copy(here, public, "--preserve-digests", *own)
    skopeo.copy(public, f"dir:{tmp_path}/back", "--preserve-digests")
    assert (tmp_path / "back/manifest.json").read_bytes() == image.manifest
    skopeo.run("login", INSECURE, *own, *login("ci"), ruled.host)
    skopeo.copy(here, of_ci, "--preserve-digests", *own)
    assert "denied" in skopeo.fails("copy", plain, *own, here, public)
    assert "denied" in skopeo.fails("delete", INSECURE, *own, of_ci)
    skopeo.run("login", INSECURE, *own, *login("guest"), ruled.host)
    assert "denied" in skopeo.fails("inspect", INSECURE, *own, of_ci)
    skopeo.run("login", INSECURE, *own, *login("admin"), ruled.host)
    skopeo.run("delete", INSECURE, *own, of_ci)


@pytest.mark.client("crane", "pull without login")
@pytest.mark.client("crane", "be denied")
def test_crane(ruled: Server, crane: Client, names: tuple[str, str], tmp_path: Path) -> None:
    public, of_ci = names
    repository = of_ci.removeprefix(f"{ruled.host}/").removesuffix(":1")
    write_layout(tmp_path / "it", oci_image())
    write_layout(tmp_path / "other", oci_image())
    assert "UNAUTHORIZED: authentication required" in crane.fails("push", tmp_path / "it", public)
    crane.run("auth", "login", ruled.host, *login("admin"))
    crane.run("push", tmp_path / "it", public)
    crane.run("auth", "logout", ruled.host)
    crane.run("pull", "--format", "oci", public, tmp_path / "back")
    assert blobs_of(tmp_path / "back") == blobs_of(tmp_path / "it")
    crane.run("auth", "login", ruled.host, *login("ci"))
    crane.run("push", tmp_path / "it", of_ci)
    assert "DENIED: requested access to the resource is denied" in crane.fails("push", tmp_path / "other", public)
    crane.run("copy", public, of_ci.replace(":1", ":2"))
    assert repository in crane.run("catalog", ruled.host).split()
    crane.run("auth", "login", ruled.host, *login("guest"))
    assert "DENIED: requested access to the resource is denied" in crane.fails("manifest", of_ci)
    assert repository not in crane.run("catalog", ruled.host).split()


@pytest.mark.client("oras", "pull without login")
@pytest.mark.client("oras", "be denied")
def test_oras(ruled: Server, oras: Client, names: tuple[str, str], home: Path) -> None:
    public, of_ci = names
    content = payload(home / "file")
    assert "unauthorized: authentication required" in oras.fails("push", PLAIN, public, "file")
    oras.run("login", PLAIN, ruled.host, *login("admin"))
    oras.run("push", PLAIN, public, "file")
    oras.run("logout", ruled.host)
    oras.run("pull", PLAIN, "--output", "back", public)
    assert (home / "back/file").read_bytes() == content
    oras.run("login", PLAIN, ruled.host, *login("ci"))
    oras.run("push", PLAIN, of_ci, "file")
    assert DENIED in oras.fails("push", PLAIN, public, "file")
    assert "denied" in oras.fails("manifest", "delete", PLAIN, "--force", of_ci)
    oras.run("login", PLAIN, ruled.host, *login("guest"))
    assert "denied" in oras.fails("pull", PLAIN, "--output", "again", of_ci)
