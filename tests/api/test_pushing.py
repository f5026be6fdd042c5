"""Pushed content comes back byte for byte."""

import pytest

from tests.builders import Image, artifact, image, index
from tests.conftest import StartRegistry
from tests.push import Client, pull_image, push_blob, push_image

_IMAGE = image()


@pytest.mark.parametrize(
    "pushed",
    [
        pytest.param(_IMAGE, id="an image"),
        pytest.param(image(algorithm="sha512"), id="an image in sha512"),
        pytest.param(index(_IMAGE, image(b"other")), id="an index"),
        pytest.param(index(index(_IMAGE), image(b"other")), id="a nested index"),
        pytest.param(index(), id="an empty index"),
        pytest.param(artifact(), id="an artifact"),
        pytest.param(artifact(subject=_IMAGE), id="an artifact whose subject is missing"),
        pytest.param(image(unknown={"field": [1, 2]}), id="an image with unknown fields"),
    ],
)
async def test_what_is_pushed_comes_back_byte_for_byte(client: Client, pushed: Image) -> None:
    await push_image(client, "team/app", pushed)
    await pull_image(client, "team/app", pushed)


async def test_a_tag_names_what_was_pushed_last(client: Client) -> None:
    first, second = image(b"first"), image(b"second")
    await push_image(client, "app", first, "latest")
    await push_image(client, "app", second, "latest")
    await pull_image(client, "app", second, "latest")
    await pull_image(client, "app", first)


async def test_a_registry_in_memory_serves_whole_blobs_and_parts(start_registry: StartRegistry) -> None:
    client = await start_registry(storage={"inmemory": {}})
    await push_image(client, "app", _IMAGE, "latest")
    await pull_image(client, "app", _IMAGE, "latest")
    content = b"0123456789"
    path = f"/v2/app/blobs/{await push_blob(client, 'app', content)}"
    for header, status, expected in [("bytes=2-4", 206, b"234"), ("bytes=-1", 206, b"9"), ("items=1", 200, content)]:
        response = await client.get(path, headers={"Range": header})
        assert (response.status, await response.read()) == (status, expected)
    several = await (await client.get(path, headers={"Range": "bytes=0-0,9-9"})).read()
    assert several.count(b"Content-Range: bytes ") == 2
