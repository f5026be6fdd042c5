"""Questions whose answers show, from outside, what a variable did."""

import http.client
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.engine.images import OCI_MANIFEST, descriptor

NOBODY = f"sha256:{'0' * 64}"


class Asked:
    """A registry on a port of 127.0.0.1, or at a socket, with its data below a directory."""

    def __init__(self, port: int, directory: Path) -> None:
        self.port = port
        self.directory = directory

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """The answer, already read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        return answer


Question = Callable[[Asked], object]


def status(path: str, method: str = "GET") -> Question:
    """The status of one request."""
    return lambda asked: asked.ask(method, path).status


STARTS: Question = status("/v2/")
DELETION: Question = status(f"/v2/x/manifests/{NOBODY}", "DELETE")
"""405 where it is off, 404 where it is on."""
PUSH: Question = status("/v2/x/blobs/uploads/", "POST")
"""202, or 405 where nothing can be pushed."""


def header(name: str) -> Question:
    """All values of a header, in alphabetical order."""
    return lambda asked: sorted(asked.ask("GET", "/v2/").headers.get_all(name, []))


def challenge(asked: Asked) -> object:
    """Return the challenge for a login: scheme, realm, service."""
    answer = asked.ask("GET", "/v2/")
    said = answer.headers.get("WWW-Authenticate", "")
    found = dict(re.findall(r'(realm|service)="([^"]*)"', said))
    return answer.status, said.split(" ")[0], found.get("realm"), found.get("service")


def location(asked: Asked) -> object:
    """Return the address of an upload, up to its own name."""
    said = asked.ask("POST", "/v2/x/blobs/uploads/").headers["Location"].replace(str(asked.port), "PORT")
    return said.partition("/uploads/")[0]


def directory(name: str) -> Question:
    """Return True if an upload goes into this directory."""

    def look(asked: Asked) -> object:
        asked.ask("POST", "/v2/x/blobs/uploads/")
        return (asked.directory / name / "docker/registry/v2/repositories/x").is_dir()

    return look


def incomplete(asked: Asked) -> object:
    """Return True if an image can be pushed whose blobs are not here."""
    layers = [descriptor("application/vnd.oci.image.layer.v1.tar", b"nowhere")]
    config = descriptor("application/vnd.oci.image.config.v1+json", b"{}")
    image = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers}
    answer = asked.ask("PUT", "/v2/x/manifests/1", json.dumps(image).encode(), {"Content-Type": OCI_MANIFEST})
    return answer.status == 201
