"""Plain HTTP to a registry, to see what it holds without a client's own ideas about it."""

import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from tests.engine.images import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Image,
    digest_of,
    docker_list,
)
from tests.processes import Server

ACCEPT = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST))


@dataclass(frozen=True)
class Answer:
    """The response to one request."""

    request: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def must(self, *statuses: int) -> Self:
        """The answer, if its status is one of these."""
        assert self.status in statuses, f"{self.request} -> {self.status}, expected {statuses}: {self.body[:500]!r}"
        return self

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def path(self) -> str:
        """The next address of an upload: its Location without scheme and host."""
        location = self.headers["location"]
        return location if location.startswith("/") else "/" + location.split("/", 3)[3]

    def path_with(self, **parameters: str) -> str:
        """The same with parameters after those of the server."""
        return f"{self.path}{'&' if '?' in self.path else '?'}{urlencode(parameters)}"


class Wire:
    """One connection to a registry."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and read its answer whole; an iterable body travels chunked."""
        self._connection.request(method, path, body, dict(headers or {}))
        response = self._connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(f"{method} {path}", response.status, found, response.read())

    def push_blob(self, repository: str, content: bytes) -> None:
        """As docker does it: POST, one PATCH in chunks, PUT."""
        opened = self.request("POST", f"/v2/{repository}/blobs/uploads/", b"").must(202)
        grown = self.request("PATCH", opened.path, iter([content])).must(202)
        self.request("PUT", grown.path_with(digest=digest_of(content)), b"").must(201)

    def push_manifest(self, repository: str, reference: str, content: bytes, media_type: str = OCI_MANIFEST) -> None:
        """A manifest whose blobs are there."""
        path = f"/v2/{repository}/manifests/{reference}"
        self.request("PUT", path, content, {"Content-Type": media_type}).must(201)

    def push(self, repository: str, reference: str, image: Image) -> None:
        """All blobs of the image, then its manifest."""
        for content in image.blobs:
            self.push_blob(repository, content)
        self.push_manifest(repository, reference, image.manifest)

    def push_list(self, repository: str, reference: str, *images: Image) -> None:
        """A Docker manifest list, after the images that it names."""
        for image in images:
            for content in image.blobs:
                self.push_blob(repository, content)
            self.push_manifest(repository, digest_of(image.manifest), image.manifest, DOCKER_MANIFEST)
        self.push_manifest(repository, reference, docker_list(*images), DOCKER_LIST)

    def manifest(self, repository: str, reference: str) -> Answer:
        """The manifest, whatever its type."""
        return self.request("GET", f"/v2/{repository}/manifests/{reference}", headers={"Accept": ACCEPT})

    def digest(self, repository: str, reference: str) -> str:
        """The digest that a tag names, checked against the bytes that come with it."""
        answer = self.manifest(repository, reference).must(200)
        digest = answer.headers["docker-content-digest"]
        assert digest == digest_of(answer.body)
        return digest

    def repositories(self) -> set[str]:
        """The names in the catalog."""
        return set(self.request("GET", "/v2/_catalog?n=1000").must(200).json()["repositories"])

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository; all ways of saying "no tags" are the same here."""
        answer = self.request("GET", f"/v2/{repository}/tags/list").must(200, 404)
        return answer.json().get("tags") or []

    def content(self, repository: str) -> dict[str, str]:
        """Every tag of a repository with its digest."""
        tags = self.request("GET", f"/v2/{repository}/tags/list").must(200).json()["tags"]
        return {tag: self.digest(repository, tag) for tag in tags}

    def catalog(self) -> dict[str, dict[str, str]]:
        """Every repository with its tags and their digests."""
        return {name: self.content(name) for name in sorted(self.repositories())}
