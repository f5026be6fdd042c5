"""containerd with the sample of hosts.toml: a private authority, and a registry that asks for a password."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyregistry.common.overriding import override
from tests.auth.credentials import auth_section, write_htpasswd
from tests.authority import Authority
from tests.engine.client import Client
from tests.engine.images import digest_of, oci_image, unique, write_layout
from tests.engine.test_containerd import NATIVE, ctr, held, imported
from tests.processes import SOURCE_TREE, Server, pyregistry_server

__all__ = ["ctr"]

SAMPLE = SOURCE_TREE / "config/containerd/hosts.toml"
USER = ("--user", "alice:wonderland")


class WithTls(Server):
    """A registry that speaks TLS."""

    @override
    def answers(self) -> bool:
        return "listening" in self.output()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The authority that the sample names."""
    (tmp_path / "ca").mkdir()
    return Authority(tmp_path / "ca")


@pytest.fixture
def secured(tmp_path: Path, authority: Authority) -> Iterator[Server]:
    """A registry with TLS of its own and a password."""
    certificate, key = authority.issue("server")
    write_htpasswd(tmp_path / "htpasswd", {"alice": "wonderland"})
    tls = {"certificate": str(certificate), "key": str(key)}
    made = pyregistry_server(tmp_path, auth=auth_section(tmp_path / "htpasswd"), http={"tls": tls})
    with WithTls(made.command, made.directory, made.port, made.config) as server:
        yield server
        assert not server.faults(), server.output()


def test_image_is_pushed_and_pulled_with_the_sample(
    secured: Server, authority: Authority, ctr: Client, tmp_path: Path
) -> None:
    image, hosts = oci_image(), tmp_path / "certs.d"
    write_layout(tmp_path / "it", image)
    name = imported(ctr, f"{secured.host}/{unique('containerd/hosts')}", tmp_path / "it")
    ctr.fails("images", "push", *USER, name)
    (hosts / secured.host).mkdir(parents=True)
    (hosts / secured.host / "hosts.toml").write_text(SAMPLE.read_text().replace("registry.example.org", secured.host))
    shutil.copy(authority.certificate, hosts / secured.host / "ca.crt")
    directory = ("--hosts-dir", hosts)
    ctr.run("images", "push", *directory, *USER, name)
    ctr.run("images", "remove", "--sync", name)
    assert "401" in ctr.fails("images", "pull", *directory, *NATIVE, name)
    ctr.run("images", "pull", *directory, *USER, *NATIVE, name)
    assert {digest_of(content) for content in (*image.blobs, image.manifest)} <= held(ctr)
