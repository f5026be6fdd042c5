"""The recipes in real/: config files, compose files, manifests of Kubernetes, each brought to a directory of its own.

A recipe names places that a test has no business in (/var/lib/registry, port 443). They are moved below the test's
directory and to free ports; nothing else of the text is changed.
"""

import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.auth.credentials import write_htpasswd
from tests.authority import Authority
from tests.processes import free_port

REAL = Path(__file__).parent / "real"
EXPECTED: dict[str, dict[str, Any]] = yaml.safe_load((REAL / "expected.yml").read_text())
FILES = sorted(path.stem for path in REAL.glob("*.yml") if path.name != "expected.yml")

_PLACES = re.compile(r"(?<![\w:./])/(var/lib/registry|auth|certs|data|run/registry|etc/registry)\b")
_PORTS = re.compile(r"(?m)(addr:.*:|^[\w.]*:)(5000|443|5001)\b")
_DEBUG = "5001"


@dataclass(frozen=True)
class Recipe:
    """A config as an operator wrote it, with its environment."""

    text: str
    environment: Mapping[str, str] = field(default_factory=dict)


def read(name: str) -> Recipe:
    """The recipe that expected.yml has under this name."""
    row = EXPECTED[name]
    # Without a change of the ends of lines.
    text = (REAL / f"{row.get('file', name)}.yml").read_bytes().decode()
    documents = list(yaml.safe_load_all(text))
    recipe = Recipe(text)
    if "services" in documents[0]:
        recipe = _compose(documents[0]["services"]["registry"])
    elif "kind" in documents[0]:
        recipe = _kubernetes({document["kind"]: document for document in documents})
    return Recipe(recipe.text, {**recipe.environment, **row.get("environment", {})})


def _compose(service: dict[str, Any]) -> Recipe:
    environment = service["environment"]
    if isinstance(environment, list):
        environment = dict(line.split("=", 1) for line in environment)
    return Recipe(_of_image(service["image"]), environment)


def _kubernetes(documents: dict[str, dict[str, Any]]) -> Recipe:
    [container] = documents["Deployment"]["spec"]["template"]["spec"]["containers"]
    secrets = documents.get("Secret", {}).get("stringData", {})
    environment = {
        each["name"]: each["value"] if "value" in each else secrets[each["valueFrom"]["secretKeyRef"]["key"]]
        for each in container.get("env", [])
    }
    config = documents.get("ConfigMap", {}).get("data", {}).get("config.yml")
    return Recipe(config or _of_image(container["image"]), environment)


def _of_image(image: str) -> str:
    """The config that an image brings."""
    return (REAL / f"default-{image.partition(':')[2][0]}.yml").read_text()


def write_certificates(directory: Path) -> ssl.SSLContext:
    """A server's certificate and the CA that issued it; what a client uses who has one of that CA as well."""
    authority = Authority(directory)
    for source, name in zip(authority.issue("domain"), ("domain.crt", "domain.key"), strict=True):
        source.rename(directory / name)
    (directory / "ca.crt").write_bytes(authority.certificate.read_bytes())
    return authority.context(authority.issue("client"))


class Place:
    """A directory with what the recipes ask for: certificates and an htpasswd file."""

    def __init__(self, directory: Path, certificates: Path, context: ssl.SSLContext) -> None:
        self._directory = directory
        self._context = context
        for name in ("auth", "run/registry"):
            (directory / name).mkdir(parents=True)
        (directory / "certs").symlink_to(certificates)
        write_htpasswd(directory / "auth/htpasswd", {"alice": "wonderland"})

    def put(self, recipe: Recipe) -> tuple[Path, dict[str, str], "Address"]:
        """Write a recipe's config; where it is, its environment, and where the server will be."""
        address = Address(free_port(), self._directory / "run/registry/registry.sock", self._context)
        config = self._directory / "config.yml"
        config.write_bytes(self._moved(recipe.text, address).encode())
        return config, {name: self._moved(value, address) for name, value in recipe.environment.items()}, address

    def _moved(self, text: str, address: "Address") -> str:
        text = _PLACES.sub(lambda found: f"{self._directory}{found[0]}", text)
        return _PORTS.sub(lambda found: f"{found[1]}{free_port() if found[2] == _DEBUG else address.port}", text)


@dataclass(frozen=True)
class Address:
    """The server's address: a port, or a socket if there is one."""

    port: int
    path: Path
    context: ssl.SSLContext

    def connect(self) -> socket.socket:
        """Raises OSError while no process listens."""
        if not self.path.exists():
            return socket.create_connection(("127.0.0.1", self.port), timeout=5)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(5)
        connection.connect(str(self.path))
        return connection

    def listens(self) -> bool:
        try:
            self.connect().close()
        except OSError:
            return False
        return True

    def get(self, path: str, *, tls: bool) -> int:
        """The status of a GET."""
        connection = http.client.HTTPConnection("127.0.0.1")
        connection.sock = self.connect()
        if tls:
            connection.sock = self.context.wrap_socket(connection.sock, server_hostname="127.0.0.1")
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()


def warnings_in(output: str) -> Iterator[str]:
    """Warnings of the server at its start, in text or as JSON."""
    for line in output.splitlines():
        if line.startswith("warning: "):
            yield line.removeprefix("warning: ")
        elif line.startswith("{"):
            entry = json.loads(line)
            if entry["logger"] == "pyregistry.config":
                yield entry.get("message", entry.get("event"))
