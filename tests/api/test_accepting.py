"""A client that accepts Docker's image manifest and no list gets the image of a list that a tag names."""

import json
from pathlib import Path

import pytest
from multidict import CIMultiDict

from tests.api.test_fast_path import age, both_ways, same
from tests.builders import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Image, image, index
from tests.conftest import StartRegistry
from tests.modes import fast_path_only
from tests.push import Client, push_image, put_manifest
from tests.raw import connected

SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
ARM, AMD, WINDOWS = image(b"arm"), image(b"amd"), image(b"windows")


def list_of(*platforms: tuple[Image, str | None], media_type: str = OCI_INDEX) -> Image:
    """A list of these images, each for `os/architecture`, or without a platform."""
    children = []
    for child, platform in platforms:
        system, _, architecture = (platform or "").partition("/")
        on = {"platform": {"os": system, "architecture": architecture}} if platform else {}
        children.append({**child.descriptor(), **on})
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": children}
    return Image(json.dumps(document).encode(), media_type, (), tuple(child for child, _ in platforms))


ATTESTED = list_of((ARM, "linux/arm64"), (WINDOWS, "unknown/unknown"), (AMD, "linux/amd64"), (WINDOWS, "windows/amd64"))
DOCKER = list_of((ARM, "linux/arm64"), (AMD, "linux/amd64"), media_type=DOCKER_LIST)

OLD = {
    "Docker's image": [DOCKER_MANIFEST],
    "in other letters, with a parameter": [DOCKER_MANIFEST.upper() + "; charset=utf-8"],
    "next to Docker's first format": [f"{SCHEMA1}, {DOCKER_MANIFEST}"],
    "in two lines": [SCHEMA1, DOCKER_MANIFEST],
    "next to OCI's image": [f"{DOCKER_MANIFEST},{OCI_MANIFEST}"],
    "next to a list that is misspelt": [DOCKER_MANIFEST, "application/vnd.docker.distribution.manifest.list.v3+json"],
}
TAKES_LISTS: dict[str, list[str]] = {
    "nothing": [],
    "Docker's list too": [f"{DOCKER_MANIFEST}, {DOCKER_LIST}"],
    "Docker's list in another line": [DOCKER_MANIFEST, DOCKER_LIST.upper()],
    "OCI's index too": [DOCKER_MANIFEST, f"text/plain,{OCI_INDEX}; q=0.1"],
    "anything": ["*/*"],
    "anything after Docker's image": [f"{DOCKER_MANIFEST}, */*; q=0.1"],
    "any application": [DOCKER_MANIFEST, "application/*"],
    "OCI's image alone": [OCI_MANIFEST],
    "Docker's first format alone": [SCHEMA1],
    "text": ["text/html"],
    "more than is looked at": [DOCKER_MANIFEST + "," * 5_000],
}


async def served(client: Client, reference: str, accept: list[str], method: str = "GET") -> Image | str:
    """Return what came: one of the images here, or the digest of something else."""
    headers = CIMultiDict([("Accept", line) for line in accept] or [("X-No-Accept", "1")])
    skipped = () if accept else ("Accept",)
    async with client.request(
        method, f"/v2/app/manifests/{reference}", headers=headers, skip_auto_headers=skipped
    ) as response:
        assert response.status == 200
        digest, body = response.headers["Docker-Content-Digest"], await response.read()
        known = {each.digest: each for each in (ARM, AMD, WINDOWS, ATTESTED, DOCKER)}
        found = known.get(digest)
        if found is None:
            return digest
        assert response.headers["Content-Type"] == found.media_type
        assert response.headers["ETag"] == f'"{digest}"'
        assert response.headers["Content-Length"] == str(len(found.content))
        assert body == (b"" if method == "HEAD" else found.content)
        assert (response.headers.get("Vary") == "Accept") == (":" not in reference or found in (ATTESTED, DOCKER))
        return found


@pytest.mark.parametrize("pushed", [ATTESTED, DOCKER], ids=["OCI", "Docker"])
@pytest.mark.parametrize("accept", OLD.values(), ids=OLD.keys())
async def test_who_knows_no_lists_gets_the_image_of_linux_amd64(
    client: Client, accept: list[str], pushed: Image
) -> None:
    await push_image(client, "app", pushed, "v1")
    for method in ("GET", "HEAD"):
        assert await served(client, "v1", accept, method) == AMD
        assert await served(client, pushed.digest, accept, method) == pushed
    assert await served(client, ARM.digest, accept) == ARM


@pytest.mark.parametrize("pushed", [ATTESTED, DOCKER], ids=["OCI", "Docker"])
@pytest.mark.parametrize("accept", TAKES_LISTS.values(), ids=TAKES_LISTS.keys())
async def test_everybody_else_gets_the_list(client: Client, accept: list[str], pushed: Image) -> None:
    await push_image(client, "app", pushed, "v1")
    for method in ("GET", "HEAD"):
        assert await served(client, "v1", accept, method) == pushed


async def test_an_image_that_a_tag_names_is_served_to_everybody(client: Client) -> None:
    await push_image(client, "app", ARM, "v1")
    async with client.get("/v2/app/manifests/v1", headers={"Accept": DOCKER_MANIFEST}) as response:
        assert response.headers["Docker-Content-Digest"] == ARM.digest
        assert "Vary" not in response.headers


async def test_a_list_without_such_an_image_is_served_itself(start_registry: StartRegistry) -> None:
    client = await start_registry(pyregistry={"sparse": True})
    for pushed in (index(), index(AMD), list_of((AMD, None), (ARM, "linux/arm64"))):
        await push_image(client, "app", pushed, "v1")
        found = await served(client, "v1", [DOCKER_MANIFEST])
        assert pushed.digest == (found if isinstance(found, str) else found.digest)
    missing = list_of((image(b"elsewhere"), "linux/amd64"))
    await put_manifest(client, "app", missing, "v1")
    assert await served(client, "v1", [DOCKER_MANIFEST]) == missing.digest


@pytest.mark.parametrize(("platform", "expected"), [("linux/arm64", ARM), ("windows/amd64", WINDOWS), ("", ATTESTED)])
async def test_the_config_names_the_platform_or_switches_it_off(
    start_registry: StartRegistry, platform: str, expected: Image
) -> None:
    client = await start_registry(pyregistry={"default-platform": platform})
    await push_image(client, "app", ATTESTED, "v1")
    assert await served(client, "v1", [DOCKER_MANIFEST]) == expected


async def test_what_the_client_has_already_is_that_image(client: Client) -> None:
    await push_image(client, "app", ATTESTED, "v1")
    for digest, status in ((AMD.digest, 304), (ATTESTED.digest, 200)):
        headers = {"Accept": DOCKER_MANIFEST, "If-None-Match": f'"{digest}"'}
        assert (await client.get("/v2/app/manifests/v1", headers=headers)).status == status


@fast_path_only("its responses are compared with the ordinary ones")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_cached_list_is_the_ordinary_one(client: Client, tmp_path: Path, method: str) -> None:
    await push_image(client, "app", ATTESTED, "v1")
    age(tmp_path / "data")
    async with connected(client) as connection:
        for accept in (OCI_INDEX, f"{DOCKER_MANIFEST}, */*"):
            cached, ordinary = await both_ways(client, connection, method, "/v2/app/manifests/v1", {"Accept": accept})
            assert cached.headers["Docker-Content-Digest"] == ATTESTED.digest
            assert same(cached, ordinary)
        for _ in range(2):
            answer = await connection.request(method, "/v2/app/manifests/v1", {"Accept": DOCKER_MANIFEST})
            assert answer.headers["Docker-Content-Digest"] == AMD.digest
