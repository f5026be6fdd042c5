"""Manifests (end-3, end-7, end-9): tags, types, limits, and what is missing or has a malformed digest."""

import io
import json

import pytest

from tests.builders import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Image, digest_of, image, index
from tests.conformance import leaves
from tests.conformance.pushes import without_length
from tests.conftest import StartRegistry
from tests.push import Client, assert_error, path_of, push_image

_NAME = "conformance/repo1"
_IMAGE = image()
_MIB = 1024 * 1024


@pytest.mark.parametrize("reference", [digest_of(b"missing"), digest_of(b"missing", "sha512"), "missing-tag"])
async def test_end_3_a_missing_manifest_answers_404_in_a_repository_that_exists(client: Client, reference: str) -> None:
    await push_image(client, _NAME, _IMAGE, "latest")
    path = f"/v2/{_NAME}/manifests/{reference}"
    await assert_error(await client.get(path), 404, "MANIFEST_UNKNOWN")
    assert (await client.head(path)).status == 404


async def test_end_7a_and_3_a_malformed_digest_answers_400_and_is_never_a_tag(client: Client) -> None:
    await push_image(client, _NAME, _IMAGE)
    bad = "sha256:baddigeststring"
    await assert_error(await leaves.put_manifest(client, _NAME, _IMAGE, bad), 400, "DIGEST_INVALID")
    for method in ("GET", "DELETE"):
        response = await client.request(method, f"/v2/{_NAME}/manifests/{bad}")
        await assert_error(response, 400, "DIGEST_INVALID")
    assert await leaves.list_tags(client, _NAME) == []


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_end_7b_a_push_by_digest_names_tags_and_every_tag_answers_with_that_digest(
    client: Client, algorithm: str
) -> None:
    pushed = image(algorithm=algorithm)
    await push_image(client, _NAME, pushed)
    tags = [f"1.{number}" for number in range(10)]
    await leaves.push_manifest(client, _NAME, pushed, tags=tags)
    for tag in tags:
        await leaves.head_manifest(client, _NAME, pushed, tag)
        await leaves.get_manifest(client, _NAME, pushed, tag)
    assert await leaves.list_tags(client, _NAME) == tags


async def test_end_7a_a_push_by_tag_is_known_by_its_sha256(client: Client) -> None:
    await push_image(client, _NAME, _IMAGE, "latest")
    response = await client.get(f"/v2/{_NAME}/manifests/latest")
    assert response.headers["Docker-Content-Digest"] == digest_of(_IMAGE.content)
    assert "OCI-Tag" not in response.headers


async def test_end_7a_location_names_the_digest_even_of_a_push_by_tag(client: Client) -> None:
    await push_image(client, _NAME, _IMAGE)
    for reference in (_IMAGE.digest, "latest"):
        response = await leaves.put_manifest(client, _NAME, _IMAGE, reference)
        assert path_of(response.headers["Location"]) == f"/v2/{_NAME}/manifests/{_IMAGE.digest}"


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_LIST])
async def test_end_3_the_type_that_was_pushed_comes_back_whatever_is_accepted(client: Client, media_type: str) -> None:
    build = index if media_type in {OCI_INDEX, DOCKER_LIST} else image
    built = build(mediaType=media_type)
    pushed = Image(built.content, media_type, built.blobs)
    await push_image(client, _NAME, pushed, "latest")
    for accept in (media_type, "application/vnd.oci.image.index.v1+json", "text/html", "*/*"):
        response = await client.get(f"/v2/{_NAME}/manifests/latest", headers={"Accept": accept})
        await leaves.assert_manifest(response, pushed)


@pytest.mark.parametrize("media_type", [OCI_MANIFEST + "; charset=utf-8", OCI_MANIFEST + ";x=y", None])
async def test_end_7a_parameters_of_content_type_are_ignored_and_not_sent_back(
    client: Client, media_type: str | None
) -> None:
    await push_image(client, _NAME, _IMAGE)
    headers = {} if media_type is None else {"Content-Type": media_type}
    skipped = {"Content-Type"} if media_type is None else set()
    path = f"/v2/{_NAME}/manifests/latest"
    response = await client.put(path, data=_IMAGE.content, headers=headers, skip_auto_headers=skipped)
    assert response.status == 201
    await leaves.get_manifest(client, _NAME, _IMAGE, "latest")


async def test_end_7a_every_byte_comes_back_also_those_that_mean_nothing(client: Client) -> None:
    await push_image(client, _NAME, _IMAGE)
    indented = json.dumps(json.loads(_IMAGE.content), indent=3, sort_keys=True).encode()
    spaced = Image(b"\r\n\t " + indented + b"\n\n", OCI_MANIFEST)
    await leaves.push_manifest(client, _NAME, spaced, "latest")
    await leaves.get_manifest(client, _NAME, spaced, "latest")


@pytest.mark.parametrize("announced", [True, False], ids=["Content-Length", "chunked"])
@pytest.mark.parametrize("limit", [1_000, 5 * _MIB])
async def test_end_7a_a_manifest_above_the_configured_limit_answers_413_and_one_at_it_201(
    start_registry: StartRegistry, limit: int, announced: bool
) -> None:
    client = await start_registry(pyregistry={"limits": {"manifest-size": limit}})
    fitting, larger = index().content.ljust(limit), index().content.ljust(limit + 1)
    path, headers = f"/v2/{_NAME}/manifests/latest", {"Content-Type": OCI_INDEX}
    send = io.BytesIO if announced else without_length
    response = await client.put(path, data=send(larger), headers=headers)
    await assert_error(response, 413, "SIZE_INVALID")
    await assert_error(await client.get(path), 404, "MANIFEST_UNKNOWN")
    response = await client.put(path, data=send(fitting), headers=headers)
    assert response.status == 201
    assert await (await client.get(path)).read() == fitting


async def test_end_7a_4_mib_are_accepted_by_default(client: Client) -> None:
    large = Image(index().content.ljust(4 * _MIB), OCI_INDEX)
    await leaves.push_manifest(client, _NAME, large, "latest")


async def test_end_9_a_tag_goes_alone_and_a_manifest_with_all_its_tags(client: Client) -> None:
    other = index()
    await push_image(client, _NAME, _IMAGE)
    await leaves.push_manifest(client, _NAME, _IMAGE, tags=["a", "b", "c"])
    await leaves.push_manifest(client, _NAME, other, "d")
    await leaves.delete_manifest(client, _NAME, "b")
    await leaves.get_manifest(client, _NAME, _IMAGE, "a")
    await leaves.delete_manifest(client, _NAME, _IMAGE.digest)
    for tag in "abc":
        await assert_error(await client.get(f"/v2/{_NAME}/manifests/{tag}"), 404, "MANIFEST_UNKNOWN")
    assert await leaves.list_tags(client, _NAME) == ["d"]
    await leaves.get_manifest(client, _NAME, other, "d")


async def test_end_9_a_tag_that_moved_on_survives_the_deletion_of_what_it_named(client: Client) -> None:
    other = index()
    await push_image(client, _NAME, _IMAGE, "latest")
    await leaves.push_manifest(client, _NAME, other, "latest")
    await leaves.delete_manifest(client, _NAME, _IMAGE.digest)
    await leaves.get_manifest(client, _NAME, other, "latest")


async def test_end_9_a_deleted_manifest_is_still_there_in_another_repository(client: Client) -> None:
    for name in (_NAME, "conformance/repo2"):
        await push_image(client, name, _IMAGE, "latest")
    await leaves.delete_manifest(client, _NAME, _IMAGE.digest)
    await leaves.get_manifest(client, "conformance/repo2", _IMAGE, "latest")
