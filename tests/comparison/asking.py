"""One request to a registry, byte for byte as a client would send it, after what it needs was pushed."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from tests.builders import digest_of

OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
NOT_DISTRIBUTED = "application/vnd.oci.image.layer.nondistributable.v1.tar"
CONFIG, LAYER, BLOB = b"{}", b"layer", b"hello"
CONFIG_DIGEST, LAYER_DIGEST, BLOB_DIGEST = digest_of(CONFIG), digest_of(LAYER), digest_of(BLOB)
BYTES = ("Content-Type", "application/octet-stream")
Fields = Iterable[tuple[str, str]]
Document = dict[str, Any]
_REDIRECTS = {301, 307, 308}
_TIMEOUT = 60
_numbers = count()


@dataclass(frozen=True)
class Answer:
    """One answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of the first error; empty where the body has none."""
        try:
            return str(json.loads(self.body)["errors"][0]["code"])
        except (ValueError, KeyError, TypeError, IndexError):
            return ""

    @property
    def location(self) -> str:
        """The target of `Location`, with its query."""
        parts = urlsplit(self.headers["location"])
        return parts.path + (f"?{parts.query}" if parts.query else "")


def document() -> Document:
    """An image manifest of CONFIG and LAYER."""
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": CONFIG_DIGEST, "size": len(CONFIG)}
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": LAYER_DIGEST, "size": len(LAYER)}
    return {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": config, "layers": [layer]}


def index_of(child: bytes, **fields: Any) -> Document:
    """An index of one manifest, whose descriptor has these fields as well."""
    descriptor = {
        "mediaType": OCI_IMAGE,
        "digest": digest_of(child),
        "size": len(child),
        "platform": {"os": "linux", "architecture": "amd64"},
    }
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{**descriptor, **fields}]}


def encoded(value: Document | bytes) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def with_query(target: str, query: str) -> str:
    return f"{target}{'&' if '?' in target else '?'}{query}"


def in_chunks(body: bytes) -> bytes:
    """A body in chunked transfer coding."""
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


class Asker:
    """A registry with a repository for one request."""

    def __init__(self, port: int, fields: Fields = (), images: dict[int, tuple[str, bytes]] | None = None) -> None:
        self.port = port
        self.repository = f"r{next(_numbers)}/app"
        self._fields = tuple(fields)
        """Headers of every request, such as those of a login."""
        self._images = {} if images is None else images
        """The image that `find_image` has pushed, by the port."""

    def send(self, data: bytes, method: str = "GET") -> Answer:
        """The answer to these bytes; a server may answer and close before it has read all of them."""
        with socket.create_connection(("127.0.0.1", self.port), _TIMEOUT) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
            response = http.client.HTTPResponse(connection, method=method)
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())

    def ask(self, method: str, target: str, fields: Fields = (), body: bytes | None = None) -> Answer:
        """The answer to a request, for GET and HEAD behind redirects, which every client follows."""
        lines = [f"Host: 127.0.0.1:{self.port}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (*self._fields, *fields)]
        has_length = any(name.lower() in {"content-length", "transfer-encoding"} for name, _ in fields)
        if not has_length and (body is not None or method in {"POST", "PUT", "PATCH"}):
            lines.append(f"Content-Length: {len(body or b'')}")
        head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""])
        answer = self.send(head.encode("latin-1") + (body or b""), method)
        if answer.status in _REDIRECTS and method in {"GET", "HEAD"}:
            return self.ask(method, answer.location, fields, body)
        return answer

    # What a request may need

    def begin(self, repository: str | None = None) -> str:
        """The location of a new upload."""
        answer = self.ask("POST", f"/v2/{repository or self.repository}/blobs/uploads/")
        assert answer.status == 202, answer
        return answer.location

    def begin_with(self, content: bytes) -> str:
        """The location of an upload that has these bytes."""
        answer = self.ask("PATCH", self.begin(), [BYTES], content)
        assert answer.status == 202, answer
        return answer.location

    def push_blob(self, content: bytes, repository: str | None = None) -> str:
        digest = digest_of(content)
        answer = self.ask("PUT", with_query(self.begin(repository), f"digest={digest}"), [BYTES], content)
        assert answer.status == 201, answer
        return digest

    def push_image(self, tag: str = "v1") -> bytes:
        """Push what `document` names, and it; return its bytes."""
        self.push_blob(CONFIG)
        self.push_blob(LAYER)
        content = encoded(document())
        assert self.put(document(), tag=tag).status == 201
        return content

    def find_image(self) -> bytes:
        """Go to a repository with an image, for a request that changes nothing; return its bytes."""
        if self.port not in self._images:
            self._images[self.port] = self.repository, self.push_image()
        self.repository, content = self._images[self.port]
        return content

    def put(self, value: Document | bytes, content_type: str | None = OCI_IMAGE, tag: str = "v1") -> Answer:
        """The answer to the push of a manifest."""
        fields = [] if content_type is None else [("Content-Type", content_type)]
        return self.ask("PUT", f"/v2/{self.repository}/manifests/{tag}", fields, encoded(value))

    def put_image(self, value: Document | bytes, content_type: str | None = OCI_IMAGE, tag: str = "v1") -> Answer:
        """The same, of one that has the blobs of `document`."""
        self.push_blob(CONFIG)
        self.push_blob(LAYER)
        return self.put(value, content_type, tag)
