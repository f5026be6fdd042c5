"""Push and pull over HTTP, reading like the protocol; and what success and errors look like."""

import json
import re
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from yarl import URL

from tests.builders import Image, digest_of

Client = TestClient[Any, Any]

SPEC_CODES = frozenset(
    {"BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN"}
    | {"MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED"}
    | {"DENIED", "UNSUPPORTED", "TOOMANYREQUESTS"}
)
_INSIDE = re.compile(
    r"Traceback|File \\?\"|\.py\b|/docker/registry|/tmp/|\.pyregistry|Errno|<html|aiohttp|0x[0-9a-f]{6}", re.I
)
"""Traces of our own files, paths, exceptions and libraries, and pages made for a browser."""


async def assert_error(response: ClientResponse, status: int, code: str) -> dict[str, Any]:
    """The answer is the spec's envelope with this status and code; returns its first entry."""
    text = await response.text()
    assert response.status == status, text
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Content-Length"] == str(len(text.encode()))
    return assert_envelope(text, status, code)


def assert_envelope(text: str, status: int, code: str) -> dict[str, Any]:
    """The text is the spec's envelope and says nothing about the inside; returns its first entry."""
    document = json.loads(text)
    assert set(document) == {"errors"}
    entries = document["errors"]
    assert [entry["code"] for entry in entries] == [code] * len(entries), text
    assert entries
    assert code in SPEC_CODES or status >= 500 or (code, status) == ("PAGINATION_NUMBER_INVALID", 400)
    assert all(entry["message"] and set(entry) <= {"code", "message", "detail"} for entry in entries)
    assert _INSIDE.search(text) is None, text
    first: dict[str, Any] = entries[0]
    return first


def path_of(location: str) -> str:
    """Return the path of an upload's Location: tests send to it what they like, at any offset of the upload."""
    return URL(location).raw_path


def target_of(location: str) -> str:
    """Return path and query of a Location, for a client that takes no host."""
    return URL(location).raw_path_qs


async def start_upload(client: Client, name: str) -> str:
    """POST; the upload's path."""
    response = await client.post(f"/v2/{name}/blobs/uploads/")
    assert response.status == 202, await response.text()
    return path_of(response.headers["Location"])


async def push_blob(client: Client, name: str, content: bytes, algorithm: str = "sha256") -> str:
    """POST, then PUT with the whole blob; its digest."""
    location = await start_upload(client, name)
    digest = digest_of(content, algorithm)
    response = await client.put(location, params={"digest": digest}, data=content)
    assert response.status == 201, await response.text()
    assert response.headers["Docker-Content-Digest"] == digest
    return digest


async def put_manifest(client: Client, name: str, image: Image, reference: str | None = None) -> ClientResponse:
    """PUT the manifest alone, by its digest unless a tag is given."""
    return await client.put(
        f"/v2/{name}/manifests/{reference or image.digest}",
        data=image.content,
        headers={"Content-Type": image.media_type},
    )


async def push_image(client: Client, name: str, image: Image, reference: str | None = None) -> str:
    """Blobs, children, manifest; the manifest's digest."""
    for blob in image.blobs:
        await push_blob(client, name, blob, image.algorithm)
    for child in image.children:
        await push_image(client, name, child)
    response = await put_manifest(client, name, image, reference)
    assert response.status == 201, await response.text()
    return image.digest


async def pull_image(client: Client, name: str, image: Image, reference: str | None = None) -> None:
    """GET the manifest and everything below it; all bytes are the pushed ones."""
    response = await client.get(f"/v2/{name}/manifests/{reference or image.digest}")
    assert response.status == 200, await response.text()
    assert await response.read() == image.content
    assert response.headers["Content-Type"] == image.media_type
    for blob in image.blobs:
        response = await client.get(f"/v2/{name}/blobs/{digest_of(blob, image.algorithm)}")
        assert response.status == 200
        assert await response.read() == blob
    for child in image.children:
        await pull_image(client, name, child)
