"""Assertions of each leaf of the official program about one answer, in its words, with the spec's additions.

The program takes a 404 for a delete and lets headers be absent; here each answer is the one that this server promises.
"""

import json
from collections.abc import Sequence
from typing import Any

from aiohttp import ClientResponse
from multidict import CIMultiDict

from tests.builders import OCI_INDEX, OCI_MANIFEST, Image
from tests.conformance.pushes import without_length
from tests.push import Client, assert_error, target_of

ACCEPT = CIMultiDict([("Accept", OCI_INDEX), ("Accept", OCI_MANIFEST)])
"""Two lines, as the program sends them."""


async def assert_blob_pushed(client: Client, response: ClientResponse, content: bytes, digest: str) -> None:
    """The last request of a push: 201, and the Location serves the bytes."""
    assert response.status == 201, await response.text()
    assert response.headers["Docker-Content-Digest"] == digest
    found = await client.get(target_of(response.headers["Location"]))
    assert found.status == 200
    assert await found.read() == content


async def head_blob(client: Client, name: str, content: bytes, digest: str) -> None:
    response = await client.head(f"/v2/{name}/blobs/{digest}")
    assert response.status == 200
    assert response.headers["Content-Length"] == str(len(content))
    assert response.headers["Docker-Content-Digest"] == digest
    assert await response.read() == b""


async def get_blob(client: Client, name: str, content: bytes, digest: str) -> None:
    response = await client.get(f"/v2/{name}/blobs/{digest}")
    assert response.status == 200
    assert response.headers["Content-Length"] == str(len(content))
    assert response.headers["Docker-Content-Digest"] == digest
    assert await response.read() == content


async def delete_blob(client: Client, name: str, digest: str) -> None:
    """202, and it is gone at once."""
    path = f"/v2/{name}/blobs/{digest}"
    assert (await client.delete(path)).status == 202
    assert (await client.head(path)).status == 404
    await assert_error(await client.get(path), 404, "BLOB_UNKNOWN")
    await assert_error(await client.delete(path), 404, "BLOB_UNKNOWN")


async def put_manifest(
    client: Client, name: str, image: Image, reference: str | None = None, tags: Sequence[str] = ()
) -> ClientResponse:
    """Without Content-Length, as the program sends every manifest; by its digest unless a tag is given."""
    return await client.put(
        f"/v2/{name}/manifests/{reference or image.digest}",
        params=[("tag", tag) for tag in tags],
        data=without_length(image.content),
        headers={"Content-Type": image.media_type},
    )


async def push_manifest(
    client: Client, name: str, image: Image, reference: str | None = None, tags: Sequence[str] = ()
) -> None:
    """201, and the Location serves the bytes and their type."""
    response = await put_manifest(client, name, image, reference, tags)
    assert response.status == 201, await response.text()
    assert response.headers["Docker-Content-Digest"] == image.digest
    subject = json.loads(image.content).get("subject")
    assert response.headers.get("OCI-Subject") == (None if subject is None else subject["digest"])
    accepted = response.headers.getall("OCI-Tag", [])
    assert sorted(tag.strip() for line in accepted for tag in line.split(",")) == sorted(tags)
    found = await client.get(target_of(response.headers["Location"]), headers=ACCEPT)
    await assert_manifest(found, image)


async def head_manifest(client: Client, name: str, image: Image, reference: str | None = None) -> None:
    response = await client.head(f"/v2/{name}/manifests/{reference or image.digest}", headers=ACCEPT)
    assert_manifest_headers(response, image)
    assert await response.read() == b""


async def get_manifest(client: Client, name: str, image: Image, reference: str | None = None) -> None:
    response = await client.get(f"/v2/{name}/manifests/{reference or image.digest}", headers=ACCEPT)
    await assert_manifest(response, image)


async def assert_manifest(response: ClientResponse, image: Image) -> None:
    """200 with the pushed bytes."""
    assert_manifest_headers(response, image)
    assert await response.read() == image.content


def assert_manifest_headers(response: ClientResponse, image: Image) -> None:
    """200 with the pushed type, exactly, and the digest that was pushed."""
    assert response.status == 200
    assert response.headers["Content-Type"] == image.media_type
    assert response.headers["Content-Length"] == str(len(image.content))
    assert response.headers["Docker-Content-Digest"] == image.digest


async def delete_manifest(client: Client, name: str, reference: str) -> None:
    """A tag or a digest: 202, and it is gone at once."""
    path = f"/v2/{name}/manifests/{reference}"
    assert (await client.delete(path)).status == 202
    assert (await client.head(path)).status == 404
    await assert_error(await client.get(path), 404, "MANIFEST_UNKNOWN")
    await assert_error(await client.delete(path), 404, "MANIFEST_UNKNOWN")


async def list_tags(client: Client, name: str, **parameters: str | int) -> list[str]:
    response = await client.get(f"/v2/{name}/tags/list", params=parameters)
    assert response.status == 200, await response.text()
    assert response.headers["Content-Type"] == "application/json"
    document = await response.json()
    assert set(document) == {"name", "tags"}
    assert document["name"] == name
    tags: list[str] = document["tags"]
    return tags


async def list_referrers(
    client: Client, name: str, subject: str, artifact_type: str | None = None
) -> list[dict[str, Any]]:
    """The descriptors in one answer; its header says whether the filter was applied."""
    parameters = {} if artifact_type is None else {"artifactType": artifact_type}
    response = await client.get(f"/v2/{name}/referrers/{subject}", params=parameters)
    assert response.status == 200, await response.text()
    assert response.headers["Content-Type"] == OCI_INDEX
    assert response.headers.get("OCI-Filters-Applied") == (None if artifact_type is None else "artifactType")
    document = await response.json(content_type=OCI_INDEX)
    assert document["schemaVersion"] == 2
    assert document["mediaType"] == OCI_INDEX
    descriptors: list[dict[str, Any]] = document["manifests"]
    return descriptors
