"""Each data set of the official program is pushed, listed, asked for, pulled and deleted, in its order."""

import json
from dataclasses import replace

import pytest

from tests.conformance import leaves
from tests.conformance.data_sets import DATA_SETS, DataSet, sparse
from tests.conformance.pushes import PUSHES
from tests.conftest import StartRegistry
from tests.push import Client, assert_error

_NAME = "conformance/repo1"


@pytest.mark.parametrize("name", DATA_SETS)
async def test_end_2_to_12_a_data_set_comes_back_as_pushed_and_is_gone_when_deleted(client: Client, name: str) -> None:
    await _whole_life(client, DATA_SETS[name]())


async def test_data_sets_in_one_repository_share_blobs_which_each_pushes_and_deletes(client: Client) -> None:
    pushed = [DATA_SETS[name]() for name in ("image", "data-field", "image", "artifact", "artifact-without-layers")]
    configs = [set(data_set.blobs) for data_set in pushed]
    assert configs[0] & configs[1]
    assert configs[3] & configs[4]
    for data_set in pushed:
        await _whole_life(client, data_set)


async def test_sparse_manifests_are_taken_when_the_config_allows_them(start_registry: StartRegistry) -> None:
    await _whole_life(await start_registry(pyregistry={"sparse": True}), sparse())


async def test_code_5_sparse_manifests_are_refused_by_default_with_every_missing_digest(client: Client) -> None:
    data_set = sparse()
    await _push_blobs(client, data_set)
    image, complete, index = data_set.manifests
    await leaves.push_manifest(client, _NAME, complete)
    for manifest in (image, index):
        response = await leaves.put_manifest(client, _NAME, manifest)
        await assert_error(response, 404, "MANIFEST_BLOB_UNKNOWN")
        named = {entry["detail"]["digest"] for entry in (await response.json())["errors"]}
        known = {*data_set.blobs, complete.digest}
        assert named == _references(manifest.content) - known != set()
        assert (await client.head(f"/v2/{_NAME}/manifests/{manifest.digest}")).status == 404


async def test_code_4_an_image_under_the_digest_of_other_bytes_is_refused(client: Client) -> None:
    data_set = DATA_SETS["image"]()
    await _push_blobs(client, data_set)
    image = data_set.manifests[0]
    longer = replace(image, content=image.content + b"  ")
    response = await leaves.put_manifest(client, _NAME, longer, image.digest)
    await assert_error(response, 400, "DIGEST_INVALID")
    for digest in (image.digest, longer.digest):
        await assert_error(await client.get(f"/v2/{_NAME}/manifests/{digest}"), 404, "MANIFEST_UNKNOWN")
    await assert_error(await client.delete(f"/v2/{_NAME}/manifests/{image.digest}"), 404, "MANIFEST_UNKNOWN")
    for digest, content in data_set.blobs.items():
        await leaves.get_blob(client, _NAME, content, digest)
        await leaves.delete_blob(client, _NAME, digest)


async def _whole_life(client: Client, data_set: DataSet) -> None:
    await _push_blobs(client, data_set)
    await _push_manifests(client, data_set)
    await _check_tags(client, data_set)
    await _check_referrers(client, data_set)
    for tag, image in data_set.tags.items():
        await leaves.head_manifest(client, _NAME, image, tag)
        await leaves.get_manifest(client, _NAME, image, tag)
    for image in data_set.manifests:
        await leaves.head_manifest(client, _NAME, image)
        await leaves.get_manifest(client, _NAME, image)
    for digest, content in data_set.blobs.items():
        await leaves.head_blob(client, _NAME, content, digest)
        await leaves.get_blob(client, _NAME, content, digest)
    await _delete(client, data_set)


async def _push_blobs(client: Client, data_set: DataSet) -> None:
    for number, (digest, content) in enumerate(data_set.blobs.items()):
        push = list(PUSHES.values())[number % len(PUSHES)]
        await leaves.assert_blob_pushed(client, await push(client, _NAME, content, digest), content, digest)


async def _push_manifests(client: Client, data_set: DataSet) -> None:
    for image in data_set.manifests:
        tags = [tag for tag, tagged in data_set.tags.items() if tagged is image] if data_set.tags_in_query else []
        await leaves.push_manifest(client, _NAME, image, tags=tags)
    if not data_set.tags_in_query:
        for tag, image in data_set.tags.items():
            await leaves.push_manifest(client, _NAME, image, tag)


async def _check_tags(client: Client, data_set: DataSet) -> None:
    tags = sorted(data_set.tags)
    assert await leaves.list_tags(client, _NAME) == tags
    for position, last in enumerate(tags):
        assert await leaves.list_tags(client, _NAME, last=last) == tags[position + 1 :]


async def _check_referrers(client: Client, data_set: DataSet) -> None:
    for subject, referrers in data_set.referrers.items():
        expected = sorted(referrers, key=lambda descriptor: str(descriptor["digest"]))
        assert await leaves.list_referrers(client, _NAME, subject) == expected
        types = {descriptor.get("artifactType") for descriptor in expected} - {None}
        for artifact_type in types:
            some = [descriptor for descriptor in expected if descriptor.get("artifactType") == artifact_type]
            assert await leaves.list_referrers(client, _NAME, subject, artifact_type) == some
    for image in data_set.manifests:
        if image.digest not in data_set.referrers:
            assert await leaves.list_referrers(client, _NAME, image.digest) == []


async def _delete(client: Client, data_set: DataSet) -> None:
    for tag, image in data_set.tags.items():
        await leaves.delete_manifest(client, _NAME, tag)
        await leaves.head_manifest(client, _NAME, image)
    assert await leaves.list_tags(client, _NAME) == []
    for image in reversed(data_set.manifests):
        await leaves.delete_manifest(client, _NAME, image.digest)
    for subject in data_set.referrers:
        assert await leaves.list_referrers(client, _NAME, subject) == []
    for digest in data_set.blobs:
        await leaves.delete_blob(client, _NAME, digest)


def _references(content: bytes) -> set[str]:
    document = json.loads(content)
    descriptors = [*document.get("manifests", []), *document.get("layers", []), document.get("config")]
    return {descriptor["digest"] for descriptor in descriptors if descriptor is not None}
