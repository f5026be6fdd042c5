"""docs/troubleshooting.md: every message in it comes from a client, or from the code, in these words."""

import re
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pyregistry.config.errors import ConfigError
from pyregistry.config.load import load
from tests.auth.credentials import auth_section, write_htpasswd
from tests.authority import Authority, self_signed
from tests.builders import image, index
from tests.clients.programs import PASSWORD, USER, go_client
from tests.engine.containers import Skopeo
from tests.engine.engine import Engine
from tests.engine.images import oci_image, write_layout
from tests.processes import SOURCE_TREE, Server, data_directory, forked_server, free_port, require
from tests.proxies.proxies import NGINX
from tests.storage.mounts import read_only_part, tmpfs
from tests.test_tls import serving
from tests.workers.http import ask

PAGE = (SOURCE_TREE / "docs/troubleshooting.md").read_text()
HEADINGS = re.findall(r"^### `(.+)`$", PAGE, re.MULTILINE)
LINES = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
SERVER_OF_NGINX = "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {upstream}; }} }}"
"""As it is written by who knows nothing of registries."""


class Place:
    """Servers of one test; all of them end with it."""

    def __init__(self, request: pytest.FixtureRequest, stack: ExitStack, directory: Path) -> None:
        self._request = request
        self.stack = stack
        self.directory = directory

    @property
    def skopeo(self) -> Skopeo:
        found: Skopeo = self._request.getfixturevalue("skopeo")
        return found

    @property
    def docker(self) -> Engine:
        found: Engine = self._request.getfixturevalue("docker")
        return found

    @property
    def guarded(self) -> Server:
        found: Server = self._request.getfixturevalue("guarded")
        return found

    def serve(self, **sections: Any) -> Server:
        """A registry of its own."""
        return self.stack.enter_context(forked_server(self.directory, **sections))

    def serve_tls(self, certificate: Path, key: Path, **more: object) -> Server:
        """Start a registry that speaks TLS."""
        return self.stack.enter_context(
            serving(self.directory, {"certificate": str(certificate), "key": str(key), **more})
        )

    def authority(self) -> Authority:
        """A new authority, whose certificate lies in the directory `ca`, for skopeo's --cert-dir."""
        directory = self.directory / "ca"
        directory.mkdir()
        made = Authority(directory)
        (self.directory / "certs").mkdir()
        (self.directory / "certs/ca.crt").write_bytes(made.certificate.read_bytes())
        return made

    def layout(self, *sizes: int) -> str:
        """An image in a directory, for skopeo."""
        image = oci_image(sizes or (4096,))
        return write_layout(self.directory / "image", image)


Symptom = Callable[[Place], str]
SYMPTOMS: dict[str, Symptom] = {}


def symptom(words: str) -> Callable[[Symptom], Symptom]:
    """Register how to produce the words of a heading."""

    def add(produce: Symptom) -> Symptom:
        SYMPTOMS[words] = produce
        return produce

    return add


def curl(*words: str) -> str:
    """Return what curl prints of a response, or says of a connection."""
    command = [require("curl", "curl"), "-sS", "-i", "--max-time", "20", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


@symptom("http: server gave HTTP response to HTTPS client")
def tls_to_a_plain_port(place: Place) -> str:
    return place.skopeo.fails("inspect", f"docker://{place.serve().host}/app:1")


@symptom("Client sent an HTTP request to an HTTPS server")
def plain_http_to_a_tls_port(place: Place) -> str:
    server = place.serve_tls(*place.authority().issue("server"))
    return place.skopeo.fails("inspect", "--tls-verify=false", f"docker://{server.host}/app:1") + curl(server.url)


@symptom("x509: certificate signed by unknown authority")
def an_authority_that_the_client_does_not_know(place: Place) -> str:
    server = place.serve_tls(*place.authority().issue("server"))
    return place.skopeo.fails("inspect", f"docker://{server.host}/app:1")


def _with_certificate(place: Place, **options: Any) -> str:
    certificate, key = self_signed(place.directory, **options)
    (place.directory / "certs").mkdir()
    (place.directory / "certs/ca.crt").write_bytes(certificate.read_bytes())
    server = place.serve_tls(certificate, key)
    return place.skopeo.fails("inspect", "--cert-dir", place.directory / "certs", f"docker://{server.host}/app:1")


@symptom("x509: certificate has expired or is not yet valid")
def a_certificate_out_of_its_time(place: Place) -> str:
    return _with_certificate(place, days=(-9, -2), address="127.0.0.1")


@symptom("doesn't contain any IP SANs")
def a_certificate_without_alternative_names(place: Place) -> str:
    return _with_certificate(place, address="")


@symptom("connect: connection refused")
def another_address(place: Place) -> str:
    return place.skopeo.fails("inspect", f"docker://127.0.0.1:{free_port()}/app:1")


@symptom("remote error: tls: certificate required")
def no_certificate_of_the_client(place: Place) -> str:
    authority = place.authority()
    server = place.serve_tls(*authority.issue("server"), clientcas=[str(authority.certificate)])
    return place.skopeo.fails("inspect", "--cert-dir", place.directory / "certs", f"docker://{server.host}/app:1")


@symptom("no basic auth credentials")
def docker_without_a_login(place: Place) -> str:
    return place.docker.fails("--config", place.directory / "config", "pull", f"{place.guarded.host}/app:1")


@symptom("authentication required")
def another_client_without_a_login(place: Place) -> str:
    return place.skopeo.fails("inspect", "--tls-verify=false", f"docker://{place.guarded.host}/app:1")


@symptom("requested access to the resource is denied")
def a_user_without_the_right(place: Place) -> str:
    write_htpasswd(place.directory / "htpasswd", {USER: PASSWORD})
    rules = [{"repositories": "**", "who": USER, "actions": "pull"}]
    server = place.serve(auth=auth_section(place.directory / "htpasswd"), pyregistry={"access": rules})
    place.layout()
    crane = go_client("crane", place.directory)
    crane.run("auth", "login", "-u", USER, "-p", PASSWORD, server.host)
    return crane.fails("push", place.directory / "image", f"{server.host}/app:1")


@symptom("too many requests")
def many_wrong_passwords(place: Place) -> str:
    write_htpasswd(place.directory / "htpasswd", {USER: PASSWORD})
    server = place.serve(auth=auth_section(place.directory / "htpasswd"), pyregistry={"workers": 1})
    for number in range(200):
        output = curl("-u", f"{USER}:wrong{number}", f"{server.url}/v2/")
        if " 429 " in output:
            return output
    raise AssertionError("no password was one too many")


@symptom("413 Request Entity Too Large")
def nginx_as_it_comes(place: Place) -> str:
    server, port = place.serve(), free_port()
    config, directory = place.directory / "nginx.conf", place.directory
    config.write_text(NGINX.format(directory=directory))
    (directory / "registry.conf").write_text(SERVER_OF_NGINX.format(port=port, upstream=server.url))
    command = [require("nginx", "nginx"), "-e", "stderr", "-c", str(config)]
    place.stack.enter_context(Server(command, directory, port, config))
    crane = go_client("crane", directory)
    return crane.fails(
        "push", place.layout(2_000_000).removeprefix("oci:").partition(":")[0], f"127.0.0.1:{port}/app:1"
    )


@symptom("blob upload unknown to registry")
def an_upload_of_another_registry(place: Place) -> str:
    upload = "4f6f1f5c-5c2c-4c1e-9d2c-000000000000"
    return curl("-X", "PATCH", "--data-binary", "x", f"{place.serve().url}/v2/app/blobs/uploads/{upload}")


@symptom("507 Insufficient Storage")
def a_full_disk(place: Place) -> str:
    data = data_directory(place.directory)
    data.mkdir()
    place.stack.enter_context(tmpfs(data, "size=64m"))
    return place.skopeo.fails(
        *("copy", "--dest-tls-verify=false", place.layout(70_000_000), f"docker://{place.serve().host}/app:1")
    )


@symptom("the storage is read-only")
def a_volume_that_is_mounted_read_only(place: Place) -> str:
    data = data_directory(place.directory)
    data.mkdir()
    place.stack.enter_context(read_only_part(data))
    return curl("-X", "POST", f"{place.serve().url}/v2/app/blobs/uploads/")


@symptom("the registry is read-only")
def maintenance(place: Place) -> str:
    server = place.serve(storage={"maintenance": {"readonly": {"enabled": True}}})
    return place.skopeo.fails(
        "copy", "--dest-tls-verify=false", place.layout(), f"docker://{server.host}/app:1"
    ) + curl("-X", "POST", f"{server.url}/v2/app/blobs/uploads/")


@symptom("deletion is disabled")
def no_deletions(place: Place) -> str:
    server = place.serve(storage={"delete": {"enabled": False}})
    return curl("-X", "DELETE", f"{server.url}/v2/app/manifests/1")


@symptom("manifest references a manifest or blob unknown to registry")
def an_index_before_its_images(place: Place) -> str:
    server, made = place.serve(), index(image(b"elsewhere"))
    answer = ask(server, "PUT", "/v2/app/manifests/1", made.content, {"Content-Type": made.media_type})
    return answer.body.decode()


@symptom("manifest unknown")
def no_such_tag(place: Place) -> str:
    server = place.serve()
    return place.skopeo.fails("inspect", "--tls-verify=false", f"docker://{server.host}/app:1")


@symptom("repository name not known to registry")
def no_such_repository(place: Place) -> str:
    return curl(f"{place.serve().url}/v2/app/tags/list")


@symptom("a pull-through cache is not supported")
def a_mirror(place: Place) -> str:
    config = place.directory / "mirror.yml"
    config.write_text("version: 0.1\nstorage: inmemory\nproxy: {remoteurl: https://registry-1.docker.io}\n")
    with pytest.raises(ConfigError) as refused:
        load(config, {})
    return str(refused.value)


@pytest.mark.parametrize("words", HEADINGS)
def test_a_message_of_the_page_is_produced(words: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with ExitStack() as stack:
        output = SYMPTOMS[words](Place(request, stack, tmp_path))
    assert words in output, output


def test_the_page_has_each_message_once() -> None:
    assert sorted(HEADINGS) == sorted(SYMPTOMS)


@pytest.mark.parametrize("words", LINES)
def test_a_line_of_the_log_is_in_the_code(words: str) -> None:
    sources = [path.read_text() for path in (SOURCE_TREE / "pyregistry").rglob("*.py")]
    joined = [re.sub(r'"\n\s*f?"', "", text) for text in sources]
    assert any(words in text for text in joined)


def test_links_to_other_pages_and_places_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        name, _, place = target.partition("#")
        path = SOURCE_TREE / "docs" / (name or "troubleshooting.md")
        assert path.is_file(), target
        headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not place or place in anchors, target
