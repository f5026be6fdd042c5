"""certbot's samples: challenges and redirects at port 80, and a renewed certificate for a registry with its own TLS."""

import grp
import http.client
import os
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pyregistry.common.overriding import override
from tests.authority import Authority
from tests.processes import SOURCE_TREE, Program, Server, free_port, pyregistry_server, require, wait_until
from tests.proxies.proxies import NGINX, sample

HOOK = SOURCE_TREE / "config/certbot/deploy-hook.sh"


class Plain(Program):
    """nginx with the sample for port 80."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.webroot = directory / "webroot"
        replacements = {"listen 80;": f"listen 127.0.0.1:{self.port};", "root /var/www/certbot": f"root {self.webroot}"}
        (directory / "registry.conf").write_text(sample("certbot/nginx.conf", replacements))
        (directory / "nginx.conf").write_text(NGINX.format(directory=directory))
        command = [require("nginx", "nginx"), "-e", "stderr", "-c", str(directory / "nginx.conf")]
        super().__init__(command, directory / "nginx.log")

    def get(self, path: str) -> tuple[int, str | None, bytes]:
        """Status, Location and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers={"Host": "registry.example.org"})
            answer = connection.getresponse()
            return answer.status, answer.headers["Location"], answer.read()
        finally:
            connection.close()

    @override
    def answers(self) -> bool:
        try:
            return self.get("/")[0] == 308
        except OSError:
            return False


class WithTls(Server):
    """A registry that speaks TLS."""

    @override
    def answers(self) -> bool:
        return "listening" in self.output()


def test_nginx_answers_challenges_and_sends_everything_else_to_https(tmp_path: Path) -> None:
    with Plain(tmp_path) as nginx:
        challenges = nginx.webroot / ".well-known/acme-challenge"
        challenges.mkdir(parents=True)
        (challenges / "token").write_text("token.thumbprint")
        assert nginx.get("/.well-known/acme-challenge/token") == (200, None, b"token.thumbprint")
        assert nginx.get("/.well-known/acme-challenge/other")[0] == 404
        assert nginx.get("/v2/?n=1")[:2] == (308, "https://registry.example.org/v2/?n=1")


def renewed(authority: Authority, name: str, lineage: Path, target: Path) -> None:
    """Do what certbot does: a new pair in `lineage`, then the hook."""
    lineage.mkdir(exist_ok=True)
    certificate, key = authority.issue(name)
    (lineage / "fullchain.pem").write_bytes(certificate.read_bytes())
    (lineage / "privkey.pem").write_bytes(key.read_bytes())
    (lineage / "privkey.pem").chmod(0o600)
    own = {"RENEWED_LINEAGE": str(lineage), "PYREGISTRY_TLS_DIRECTORY": str(target)}
    group = grp.getgrgid(os.getegid()).gr_name
    subprocess.run(["sh", HOOK], env={**os.environ, **own, "PYREGISTRY_GROUP": group}, check=True)


def test_hook_hands_renewed_certificates_to_a_running_registry(tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    authority, target = Authority(tmp_path / "ca"), tmp_path / "etc"
    target.mkdir()
    renewed(authority, "first", tmp_path / "live", target)
    assert (target / "registry.key").stat().st_mode & 0o777 == 0o640
    tls = {"certificate": str(target / "registry.pem"), "key": str(target / "registry.key")}
    made = pyregistry_server(tmp_path, http={"tls": tls})
    with WithTls(made.command, made.directory, made.port, made.config) as server:
        assert subject(authority, server) == "first"
        renewed(authority, "second", tmp_path / "live", target)
        wait_until(lambda: subject(authority, server) == "second", "the renewed certificate is served")
        assert not server.faults(), server.output()
    assert sorted(path.name for path in target.iterdir()) == ["registry.key", "registry.pem"]


def subject(authority: Authority, server: Server) -> str:
    """The common name in the certificate that a client gets."""
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=authority.context(), timeout=10)
    try:
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        certificate: dict[str, Any] | None = connection.sock.getpeercert()
        assert certificate is not None
        named = [value for pairs in certificate["subject"] for key, value in pairs if key == "commonName"]
        return str(named[0])
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["traefik.yml", "registry.yml"])
def test_samples_of_traefik_are_yaml(name: str) -> None:
    """Traefik itself is built from modules that not every proxy of modules has, so no test starts it."""
    assert isinstance(yaml.safe_load((SOURCE_TREE / "config/traefik" / name).read_text()), dict)
