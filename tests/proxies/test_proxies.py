"""Clients that push and pull through a proxy: what they need of it, and of the registry behind it."""

import hashlib
import http.client
import json
import os
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from tests.authority import Authority
from tests.clients.programs import PASSWORD, USER, blobs_of, go_client
from tests.engine.client import Client
from tests.engine.containers import Skopeo
from tests.engine.engine import Engine
from tests.engine.images import digest_of, layer, oci_image, unique, write_layout
from tests.processes import Server, pyregistry_server, require, wait_until
from tests.proxies.conftest import ALL, PREFIX
from tests.proxies.proxies import HAProxy, Proxy

MIB = 1 << 20
LARGE = 110 * MIB
"""Above what proxies in the cloud let through, and far above any buffer."""
BASIC = {"Authorization": f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"}


@pytest.fixture
def curl(proxy: Proxy) -> Client:
    """curl, which trusts the authority alone and knows the password."""
    options: list[str | Path] = ["--silent", "--show-error", "--fail", "--cacert", proxy.authority.certificate]
    return Client(require("curl", "curl"), *options, "--user", f"{USER}:{PASSWORD}")


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    url: str,
    body: bytes | Iterator[bytes] | None = None,
    headers: dict[str, str] | None = None,
) -> http.client.HTTPResponse:
    """One request, for a path or a URL of this server."""
    parts = urlsplit(url)
    connection.request(
        method,
        parts.path + (f"?{parts.query}" if parts.query else ""),
        body,
        BASIC if headers is None else headers,
        encode_chunked=not isinstance(body, bytes),
    )
    return connection.getresponse()


def uploads(server: Server, repository: str) -> list[int]:
    """The number of bytes of each upload on the registry's disk."""
    found = (server.tree / "repositories" / repository / "_uploads").glob("*/data")
    return [data.stat().st_size for data in found]


def test_crane_logs_in_pushes_and_pulls(proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    crane = go_client("crane", tmp_path / "home")
    crane.env["SSL_CERT_FILE"] = str(proxy.authority.certificate)
    write_layout(tmp_path / "it", oci_image((3_000_000, 4096)))
    name = f"{proxy.host}/{unique('crane')}:1"
    assert "401 Unauthorized" in crane.fails("push", tmp_path / "it", name)
    crane.run("auth", "login", proxy.host, "--username", USER, "--password", PASSWORD)
    crane.run("push", tmp_path / "it", name)
    crane.run("pull", "--format", "oci", name, tmp_path / "back")
    assert blobs_of(tmp_path / "back") == blobs_of(tmp_path / "it")


def test_skopeo_copies_in_both_directions(proxy: Proxy, tmp_path: Path) -> None:
    skopeo = Skopeo(tmp_path)
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs/ca.crt").write_bytes(proxy.authority.certificate.read_bytes())
    layout = write_layout(tmp_path / "it", oci_image((3_000_000, 4096)))
    name = f"docker://{proxy.host}/{unique('skopeo')}:1"
    secret, exactly = f"{USER}:{PASSWORD}", ("--quiet", "--preserve-digests")
    skopeo.run("copy", *exactly, "--dest-cert-dir", tmp_path / "certs", "--dest-creds", secret, layout, name)
    back = f"oci:{tmp_path / 'back'}:it"
    skopeo.run("copy", *exactly, "--src-cert-dir", tmp_path / "certs", "--src-creds", secret, name, back)
    assert blobs_of(tmp_path / "back") == blobs_of(tmp_path / "it")


def test_docker_logs_in_pushes_and_pulls(proxy: Proxy, docker: Engine, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "content").write_bytes(os.urandom(5 * MIB))
    name = f"{proxy.host}/{unique('docker')}:1"
    before = docker.build(name, context)
    own = ("--config", tmp_path / "docker")
    assert "no basic auth credentials" in docker.fails(*own, "push", name)
    docker.run(*own, "login", "--username", USER, "--password", PASSWORD, proxy.host)
    docker.run(*own, "push", name)
    docker.forget(name)
    docker.run(*own, "pull", name)
    assert docker.image_id(name) == before
    docker.forget(name)


def test_large_blob_is_pushed_in_chunks_and_comes_back_whole(proxy: Proxy, curl: Client, tmp_path: Path) -> None:
    path, digest, blobs = tmp_path / "blob", hashlib.sha256(), f"{proxy.url}/v2/{unique('large')}/blobs"
    with path.open("wb") as file:
        for _ in range(LARGE // MIB):
            block = os.urandom(MIB)
            digest.update(block)
            file.write(block)
    name = f"sha256:{digest.hexdigest()}"
    session = urljoin(proxy.url, _location(curl.run("--dump-header", "-", "-X", "POST", "-d", "", f"{blobs}/uploads/")))
    chunked = ["-H", "Transfer-Encoding: chunked", "-H", "Content-Type: application/octet-stream"]
    answer = curl.run("--dump-header", "-", "-X", "PATCH", *chunked, "--upload-file", path, session)
    assert f"0-{LARGE - 1}" in answer
    session = urljoin(proxy.url, _location(answer))
    curl.run("-X", "PUT", "-d", "", f"{session}{'&' if '?' in session else '?'}digest={name}")
    path.unlink()
    curl.run("--output", path, f"{blobs}/{name}")
    with path.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest.hexdigest()


def _location(output: str) -> str:
    found = [line for line in output.splitlines() if line.lower().startswith("location:")]
    return found[-1].split(":", 1)[1].strip()


def test_upload_reaches_the_registry_while_it_is_sent(proxy: Proxy, guarded: Server) -> None:
    repository = unique("streamed")
    connection = proxy.connect()

    def body() -> Iterator[bytes]:
        yield os.urandom(16 * MIB)
        # A proxy that keeps bodies until they are whole would make this wait in vain.
        wait_until(lambda: sum(uploads(guarded, repository)) >= 8 * MIB, "half of what was sent is on the disk", 10)
        yield b"the end"

    try:
        opened = ask(connection, "POST", f"/v2/{repository}/blobs/uploads/", b"")
        assert (opened.status, opened.read()) == (202, b"")
        grown = ask(connection, "PATCH", opened.headers["Location"], body(), {**BASIC, "Transfer-Encoding": "chunked"})
        assert (grown.status, grown.headers["Range"]) == (202, f"0-{16 * MIB + 6}")
    finally:
        connection.close()


def test_location_is_the_url_at_the_proxy_if_that_tells_its_scheme(any_proxy: Proxy) -> None:
    # Nothing shows HAProxy, which sends no header without being asked to.
    url = f"http://{any_proxy.host}" if isinstance(any_proxy, HAProxy) else any_proxy.url
    _push_blob(any_proxy, "/v2", f"{url}/v2/")


@pytest.mark.parametrize("kind", ALL)
def test_a_relative_location_is_right_behind_every_proxy(authority: Authority, tmp_path: Path, kind: str) -> None:
    with (
        pyregistry_server(tmp_path, http={"relativeurls": True}) as server,
        ALL[kind](tmp_path, authority, server.host) as proxy,
    ):
        _push_blob(proxy, "/v2", "/v2/")


def test_location_has_the_host_and_the_prefix_of_the_config(below: Proxy) -> None:
    _push_blob(below, f"{PREFIX}/v2", f"{below.url}{PREFIX}/v2/")


def _push_blob(proxy: Proxy, api: str, expected: str) -> None:
    """POST, PATCH, PUT and GET, each where the answer before it points."""
    content, connection = layer(3 * MIB), proxy.connect()
    try:
        answer = ask(connection, "POST", f"{api}/{unique('location')}/blobs/uploads/", b"")
        assert (answer.status, answer.read()) == (202, b"")
        assert answer.headers["Location"].startswith(expected)
        answer = ask(connection, "PATCH", answer.headers["Location"], content)
        assert (answer.status, answer.read()) == (202, b"")
        assert answer.headers["Location"].startswith(expected)
        closing = answer.headers["Location"]
        answer = ask(connection, "PUT", f"{closing}{'&' if '?' in closing else '?'}digest={digest_of(content)}", b"")
        assert (answer.status, answer.read()) == (201, b"")
        assert answer.headers["Location"].startswith(expected)
        assert ask(connection, "GET", answer.headers["Location"]).read() == content
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_challenge_passes_through_with_its_body(proxy: Proxy, method: str) -> None:
    connection = proxy.connect()
    try:
        answer = ask(connection, method, "/v2/app/manifests/1", b"" if method == "PUT" else None, {})
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="Test Registry"')
        assert json.loads(answer.read())["errors"][0]["code"] == "UNAUTHORIZED"
    finally:
        connection.close()


def test_large_upload_without_a_password_gets_its_401(proxy: Proxy, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(bytes(20 * MIB))
    url = f"{proxy.url}/v2/app/blobs/uploads/?digest=sha256:{'0' * 64}"
    curl = Client(require("curl", "curl"), "--silent", "--cacert", proxy.authority.certificate, "--max-time", "20")
    words: list[str | Path] = [
        "-X",
        "POST",
        "--upload-file",
        path,
        "--output",
        os.devnull,
        "--write-out",
        "%{http_code}",
    ]
    # Caddy may end the connection before curl has sent all, which curl then says as well.
    assert curl.run(*words, url, check=False) == "401"
