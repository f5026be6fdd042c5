"""Manifests, end-3 and end-7: push and pull."""

import json
from typing import Any

import pytest

from tests.builders import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    IMAGE_CONFIG,
    LAYER,
    OCI_INDEX,
    OCI_MANIFEST,
    Image,
    artifact,
    descriptor,
    digest_of,
    image,
    index,
)
from tests.conftest import StartRegistry
from tests.push import Client, assert_error, path_of, pull_image, push_blob, push_image, put_manifest
from tests.raw import ask

_IMAGE = image()


@pytest.mark.parametrize("reference", ["latest", None], ids=["by tag", "by digest"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_push_answers_201_with_location_and_digest(
    client: Client, algorithm: str, reference: str | None
) -> None:
    pushed = image(algorithm=algorithm)
    await push_image(client, "team/app", pushed)
    answer = await put_manifest(client, "team/app", pushed, reference)
    digest = pushed.digest if reference is None else digest_of(pushed.content)
    assert (answer.status, answer.headers["Content-Length"]) == (201, "0")
    assert path_of(answer.headers["Location"]) == f"/v2/team/app/manifests/{digest}"
    assert answer.headers["Docker-Content-Digest"] == digest
    assert not {"OCI-Subject", "OCI-Tag"} & set(answer.headers)


async def test_a_pull_has_the_headers_that_clients_check(client: Client) -> None:
    await push_image(client, "app", _IMAGE, "latest")
    for reference in ["latest", _IMAGE.digest]:
        for method in ["GET", "HEAD"]:
            answer = await ask(client, method, f"/v2/app/manifests/{reference}")
            assert (answer.status, answer.body) == (200, _IMAGE.content if method == "GET" else b"")
            assert answer.headers["Content-Type"] == OCI_MANIFEST
            assert answer.headers["Content-Length"] == str(len(_IMAGE.content))
            assert answer.headers["Docker-Content-Digest"] == _IMAGE.digest


async def test_a_manifest_of_another_digest_is_refused(client: Client) -> None:
    await push_image(client, "app", _IMAGE)
    for algorithm in ["sha256", "sha512"]:
        answer = await put_manifest(client, "app", _IMAGE, digest_of(b"other", algorithm))
        await assert_error(answer, 400, "DIGEST_INVALID")


@pytest.mark.parametrize("tags", [["a"], [f"tag{number}" for number in range(10)]])
async def test_tag_parameters_are_tags_and_come_back_as_oci_tag(client: Client, tags: list[str]) -> None:
    await push_image(client, "app", _IMAGE)
    query = "&".join(f"tag={tag}" for tag in tags)
    path = f"/v2/app/manifests/{_IMAGE.digest}?{query}"
    answer = await ask(client, "PUT", path, {"Content-Type": _IMAGE.media_type}, _IMAGE.content)
    assert answer.status == 201
    assert [tag.strip() for line in answer.headers.getall("OCI-Tag") for tag in line.split(",")] == tags
    for tag in tags:
        await pull_image(client, "app", _IMAGE, tag)


async def test_a_tag_of_a_sha512_manifest_names_it_by_sha512(client: Client) -> None:
    pushed = image(algorithm="sha512")
    await push_image(client, "app", pushed)
    path = f"/v2/app/manifests/{pushed.digest}?tag=latest"
    assert (await ask(client, "PUT", path, {"Content-Type": OCI_MANIFEST}, pushed.content)).status == 201
    answer = await ask(client, "HEAD", "/v2/app/manifests/latest")
    assert answer.headers["Docker-Content-Digest"] == pushed.digest


@pytest.mark.parametrize(
    "pushed", [artifact(subject=_IMAGE), index(subject=_IMAGE.descriptor())], ids=["an artifact", "an index"]
)
async def test_a_manifest_with_a_subject_is_answered_with_oci_subject(client: Client, pushed: Image) -> None:
    for blob in pushed.blobs:
        await push_blob(client, "app", blob)
    for reference in [None, "signature"]:
        answer = await put_manifest(client, "app", pushed, reference)
        assert (answer.status, answer.headers["OCI-Subject"]) == (201, _IMAGE.digest)


def _docker_image() -> Image:
    blobs = (b"{}", b"layer")
    content = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": descriptor(blobs[0], "application/vnd.docker.container.image.v1+json"),
        "layers": [descriptor(blobs[1], "application/vnd.docker.image.rootfs.diff.tar.gzip")],
    }
    return Image(json.dumps(content).encode(), DOCKER_MANIFEST, blobs)


async def test_docker_images_and_lists_come_back_with_their_types(client: Client) -> None:
    child = _docker_image()
    content = {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [child.descriptor()]}
    pushed = Image(json.dumps(content).encode(), DOCKER_LIST, (), (child,))
    await push_image(client, "app", pushed, "latest")
    await pull_image(client, "app", pushed, "latest")


async def test_a_manifest_without_media_type_is_served_as_the_oci_type_of_its_shape(client: Client) -> None:
    fields: dict[str, Any] = json.loads(_IMAGE.content)
    del fields["mediaType"]
    await push_image(client, "app", _IMAGE)
    for content, media_type in [
        (json.dumps(fields).encode(), OCI_MANIFEST),
        (b'{"schemaVersion": 2, "manifests": []}', OCI_INDEX),
    ]:
        await put_manifest(client, "app", Image(content, media_type), "latest")
        answer = await ask(client, "GET", "/v2/app/manifests/latest")
        assert (answer.body, answer.headers["Content-Type"]) == (content, media_type)


@pytest.mark.parametrize("content_type", ["v1+json", "v1+prettyjws", None])
async def test_schema_1_is_refused_with_a_sentence_that_says_so(client: Client, content_type: str | None) -> None:
    content = b'{"schemaVersion": 1, "name": "app", "tag": "latest", "fsLayers": [], "history": [], "signatures": []}'
    headers = (
        {} if content_type is None else {"Content-Type": f"application/vnd.docker.distribution.manifest.{content_type}"}
    )
    entry = (await ask(client, "PUT", "/v2/app/manifests/latest", headers, content)).assert_error(
        400, "MANIFEST_INVALID"
    )
    assert "schema 1" in entry["detail"]


async def test_layers_that_are_fetched_elsewhere_need_not_be_here(client: Client) -> None:
    foreign = [
        descriptor(b"far away", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", urls=["https://x.test/y"]),
        descriptor(b"licensed", "application/vnd.oci.image.layer.nondistributable.v1.tar"),
    ]
    config = await push_blob(client, "app", b"{}")
    content = {"schemaVersion": 2, "config": descriptor(b"{}", IMAGE_CONFIG), "layers": foreign}
    pushed = Image(json.dumps(content).encode(), OCI_MANIFEST)
    assert (await put_manifest(client, "app", pushed, "latest")).status == 201
    assert config == digest_of(b"{}")


async def test_a_layer_may_be_named_twice(client: Client) -> None:
    await push_image(client, "app", image(b"same", b"same"), "latest")


async def test_the_cache_of_buildkit_is_taken_whose_index_lists_blobs(client: Client) -> None:
    layers = [b"cached layer", b"another one"]
    config = b'{"layers": []}'
    for blob in [*layers, config]:
        await push_blob(client, "app", blob)
    children = [descriptor(layer, LAYER) for layer in layers]
    children.append(descriptor(config, "application/vnd.buildkit.cacheconfig.v0"))
    content = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}
    pushed = Image(json.dumps(content).encode(), OCI_INDEX)
    assert (await put_manifest(client, "app", pushed, "buildcache")).status == 201
    await pull_image(client, "app", pushed, "buildcache")


async def test_an_index_whose_children_are_missing_is_refused_and_names_them(client: Client) -> None:
    present, absent = image(b"present"), image(b"absent")
    await push_image(client, "app", present)
    pushed = index(present, absent)
    entry = await assert_error(await put_manifest(client, "app", pushed, "latest"), 404, "MANIFEST_BLOB_UNKNOWN")
    assert entry["detail"] == {"digest": absent.digest}
    await push_image(client, "app", absent)
    assert (await put_manifest(client, "app", pushed, "latest")).status == 201


@pytest.mark.parametrize(
    ("sections", "pushed", "status"),
    [
        pytest.param({"pyregistry": {"sparse": True}}, index(_IMAGE), 201, id="sparse, an index"),
        pytest.param({"pyregistry": {"sparse": True}}, _IMAGE, 201, id="sparse, an image"),
        pytest.param({"validation": {"disabled": True}}, _IMAGE, 201, id="validation off, an image"),
        pytest.param(
            {"validation": {"manifests": {"indexes": {"platforms": "none"}}}}, index(_IMAGE), 201, id="no platforms"
        ),
        pytest.param(
            {"validation": {"manifests": {"indexes": {"platforms": "none"}}}}, _IMAGE, 404, id="no platforms, an image"
        ),
        pytest.param({"validation": {"manifests": {"indexes": {"platforms": "all"}}}}, index(_IMAGE), 404, id="all"),
        pytest.param({}, index(_IMAGE), 404, id="by default"),
    ],
)
async def test_what_may_be_missing_is_for_the_config_to_say(
    start_registry: StartRegistry, sections: dict[str, Any], pushed: Image, status: int
) -> None:
    client = await start_registry(**sections)
    answer = await put_manifest(client, "app", pushed, "latest")
    assert answer.status == status
    if status == 201:
        assert await (await client.get("/v2/app/manifests/latest")).read() == pushed.content


async def test_a_damaged_manifest_is_unknown_until_it_is_pushed_again(client: Client, tmp_path: Any) -> None:
    await push_image(client, "app", _IMAGE, "latest")
    encoded = _IMAGE.digest.removeprefix("sha256:")
    data = tmp_path / "data/docker/registry/v2/blobs/sha256" / encoded[:2] / encoded / "data"
    for damage in [b"", _IMAGE.content[:-1], _IMAGE.content.replace(b"layer", b"lager"), b"x" * (5 * 1024 * 1024)]:
        data.write_bytes(damage)
        for reference in ["latest", _IMAGE.digest]:
            await assert_error(await client.get(f"/v2/app/manifests/{reference}"), 404, "MANIFEST_UNKNOWN")
    await push_image(client, "app", _IMAGE, "latest")
    await pull_image(client, "app", _IMAGE, "latest")
