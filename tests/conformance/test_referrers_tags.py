"""The referrers tag schema: lists that clients kept while there was no referrers API are part of its answer."""

import shutil
from pathlib import Path

import pytest

from tests.builders import Image, artifact, image, index
from tests.conformance import leaves
from tests.push import Client, push_image

_NAME = "conformance/repo1"
_SUBJECT = image(b"the subject")
_TYPE = "application/vnd.test.sbom"
_ONE, _TWO = (artifact(_SUBJECT, _TYPE, annotations={"number": number}) for number in "12")


def _forget_index(tmp_path: Path) -> None:
    """As in a tree that a registry without the API left behind: the index is ours, and can be thrown away."""
    shutil.rmtree(tmp_path / "data/docker/registry/v2/repositories" / _NAME / "_referrers")


def _tag_of(digest: str) -> str:
    """The spec's table: 32 characters of the algorithm, 64 of the encoded part."""
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"


async def _push_before_the_api(client: Client, tmp_path: Path, *referrers: Image) -> None:
    for referrer in referrers:
        await push_image(client, _NAME, referrer)
    _forget_index(tmp_path)
    assert await leaves.list_referrers(client, _NAME, _SUBJECT.digest) == []


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_end_12a_what_a_client_listed_under_the_fallback_tag_is_listed(
    client: Client, tmp_path: Path, algorithm: str
) -> None:
    subject = index(algorithm=algorithm)
    referrer = artifact(subject, _TYPE)
    await push_image(client, _NAME, referrer)
    _forget_index(tmp_path)
    assert await leaves.list_referrers(client, _NAME, subject.digest) == []
    await leaves.push_manifest(client, _NAME, index(referrer), _tag_of(subject.digest))
    expected = [referrer.descriptor(artifactType=_TYPE)]
    assert await leaves.list_referrers(client, _NAME, subject.digest) == expected
    assert await leaves.list_referrers(client, _NAME, subject.digest, _TYPE) == expected


async def test_end_12a_the_list_of_a_client_and_our_own_are_one_list_without_doubles(
    client: Client, tmp_path: Path
) -> None:
    await _push_before_the_api(client, tmp_path, _ONE)
    await push_image(client, _NAME, _TWO)
    await leaves.push_manifest(client, _NAME, index(_ONE, _TWO), _tag_of(_SUBJECT.digest))
    listed = await leaves.list_referrers(client, _NAME, _SUBJECT.digest)
    assert [descriptor["digest"] for descriptor in listed] == sorted([_ONE.digest, _TWO.digest])
    assert all(descriptor["artifactType"] == _TYPE and descriptor["annotations"] for descriptor in listed)


async def test_end_12a_what_the_manifest_says_counts_and_not_what_the_client_wrote_into_its_list(
    client: Client, tmp_path: Path
) -> None:
    await _push_before_the_api(client, tmp_path, _ONE)
    lie = index(manifests=[_ONE.descriptor(artifactType="text/lie", annotations={"lie": "yes"})])
    await leaves.push_manifest(client, _NAME, lie, _tag_of(_SUBJECT.digest))
    expected = [_ONE.descriptor(artifactType=_TYPE, annotations={"number": "1"})]
    assert await leaves.list_referrers(client, _NAME, _SUBJECT.digest) == expected


async def test_end_12a_a_listed_manifest_of_another_subject_or_of_none_is_left_out(
    client: Client, tmp_path: Path
) -> None:
    elsewhere = artifact(image(b"another subject"), _TYPE)
    plain = image()
    await _push_before_the_api(client, tmp_path, _ONE, elsewhere)
    await push_image(client, _NAME, plain)
    await leaves.push_manifest(client, _NAME, index(_ONE, elsewhere, plain), _tag_of(_SUBJECT.digest))
    listed = await leaves.list_referrers(client, _NAME, _SUBJECT.digest)
    assert [descriptor["digest"] for descriptor in listed] == [_ONE.digest]


async def test_end_12a_a_listed_manifest_that_was_deleted_is_left_out(client: Client, tmp_path: Path) -> None:
    await _push_before_the_api(client, tmp_path, _ONE, _TWO)
    await leaves.push_manifest(client, _NAME, index(_ONE, _TWO), _tag_of(_SUBJECT.digest))
    assert len(await leaves.list_referrers(client, _NAME, _SUBJECT.digest)) == 2
    await leaves.delete_manifest(client, _NAME, _ONE.digest)
    listed = await leaves.list_referrers(client, _NAME, _SUBJECT.digest)
    assert [descriptor["digest"] for descriptor in listed] == [_TWO.digest]


async def test_end_12a_a_list_that_a_client_takes_away_is_forgotten(client: Client, tmp_path: Path) -> None:
    await _push_before_the_api(client, tmp_path, _ONE)
    tag = _tag_of(_SUBJECT.digest)
    await leaves.push_manifest(client, _NAME, index(_ONE), tag)
    assert len(await leaves.list_referrers(client, _NAME, _SUBJECT.digest)) == 1
    await leaves.delete_manifest(client, _NAME, tag)
    assert await leaves.list_referrers(client, _NAME, _SUBJECT.digest) == []


async def test_end_12a_an_image_under_the_fallback_tag_is_no_list(client: Client) -> None:
    await push_image(client, _NAME, _ONE)
    await push_image(client, _NAME, image(), _tag_of(_SUBJECT.digest))
    listed = await leaves.list_referrers(client, _NAME, _SUBJECT.digest)
    assert [descriptor["digest"] for descriptor in listed] == [_ONE.digest]


async def test_end_7a_a_client_need_not_keep_a_list_since_oci_subject_is_answered(client: Client) -> None:
    await push_image(client, _NAME, _SUBJECT)
    await push_image(client, _NAME, _ONE)
    response = await leaves.put_manifest(client, _NAME, _ONE, "signature")
    assert response.headers["OCI-Subject"] == _SUBJECT.digest
    assert (await client.head(f"/v2/{_NAME}/manifests/{_tag_of(_SUBJECT.digest)}")).status == 404
