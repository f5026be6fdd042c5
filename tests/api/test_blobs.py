"""Blobs, end-2 and end-10."""

from pathlib import Path

import pytest

from tests.builders import digest_of, image
from tests.conftest import StartRegistry
from tests.push import Client, push_blob, push_image
from tests.raw import ask, connected, request_head

_BLOB = b"a layer"
_DIGEST = digest_of(_BLOB)
_PATH = f"/v2/app/blobs/{_DIGEST}"


async def test_a_blob_comes_with_its_digest_length_and_type(client: Client) -> None:
    await push_blob(client, "app", _BLOB)
    for method in ["GET", "HEAD"]:
        answer = await ask(client, method, _PATH)
        assert (answer.status, answer.body) == (200, _BLOB if method == "GET" else b"")
        assert answer.headers["Docker-Content-Digest"] == _DIGEST
        assert answer.headers["Content-Length"] == str(len(_BLOB))
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_blob_is_unknown_where_it_was_not_pushed(client: Client, algorithm: str) -> None:
    digest = await push_blob(client, "app", _BLOB, algorithm)
    for path in [f"/v2/other/blobs/{digest}", f"/v2/app/blobs/{digest_of(b'none', algorithm)}"]:
        entry = (await ask(client, "GET", path)).assert_error(404, "BLOB_UNKNOWN")
        assert entry["detail"] == {"digest": path.rpartition("/")[2]}
        head = await ask(client, "HEAD", path)
        assert (head.status, "Docker-Content-Digest" in head.headers) == (404, False)


async def test_a_manifest_is_not_a_blob_and_a_blob_is_not_a_manifest(client: Client) -> None:
    content = image()
    await push_image(client, "app", content)
    (await ask(client, "GET", f"/v2/app/blobs/{content.digest}")).assert_error(404, "BLOB_UNKNOWN")
    layer = digest_of(content.blobs[1])
    (await ask(client, "GET", f"/v2/app/manifests/{layer}")).assert_error(404, "MANIFEST_UNKNOWN")


async def test_delete_forgets_a_blob_in_one_repository_only(client: Client) -> None:
    for name in ["app", "other"]:
        await push_blob(client, name, _BLOB)
    answer = await ask(client, "DELETE", _PATH)
    assert (answer.status, answer.body) == (202, b"")
    (await ask(client, "GET", _PATH)).assert_error(404, "BLOB_UNKNOWN")
    (await ask(client, "DELETE", _PATH)).assert_error(404, "BLOB_UNKNOWN")
    assert (await ask(client, "GET", f"/v2/other/blobs/{_DIGEST}")).body == _BLOB


async def test_a_deleted_blob_can_be_pushed_again(client: Client) -> None:
    for _ in range(2):
        await push_blob(client, "app", _BLOB)
        assert (await ask(client, "GET", _PATH)).body == _BLOB
        assert (await ask(client, "DELETE", _PATH)).status == 202


async def test_deletion_is_off_unless_the_config_says_otherwise(start_registry: StartRegistry, tmp_path: Path) -> None:
    client = await start_registry(storage={"filesystem": {"rootdirectory": str(tmp_path / "data")}})
    await push_blob(client, "app", _BLOB)
    (await ask(client, "DELETE", _PATH)).assert_error(405, "UNSUPPORTED")
    assert (await ask(client, "GET", _PATH)).body == _BLOB


async def test_an_empty_file_where_a_blob_had_bytes_is_no_blob(client: Client, tmp_path: Path) -> None:
    await push_blob(client, "app", _BLOB)
    (data,) = tmp_path.glob("data/docker/registry/v2/blobs/sha256/*/*/data")
    data.write_bytes(b"")
    (await ask(client, "GET", _PATH)).assert_error(404, "BLOB_UNKNOWN")
    assert (await ask(client, "HEAD", _PATH)).status == 404


async def test_a_file_that_shrinks_during_a_download_cuts_the_connection(client: Client, tmp_path: Path) -> None:
    content = bytes(32 * 1024 * 1024)
    answer = await ask(client, "POST", f"/v2/app/blobs/uploads/?digest={digest_of(content)}", body=content)
    assert answer.status == 201
    (data,) = tmp_path.glob("data/docker/registry/v2/blobs/sha256/*/*/data")
    async with connected(client) as connection:
        await connection.send(request_head("GET", f"/v2/app/blobs/{digest_of(content)}"))
        await connection.wait_for_headers()
        data.write_bytes(b"short")
        assert len(await connection.rest()) < len(content)


async def test_a_download_survives_the_deletion_of_its_blob(client: Client) -> None:
    content = bytes(range(256)) * 4096 * 16
    digest = digest_of(content)
    assert (await ask(client, "POST", f"/v2/app/blobs/uploads/?digest={digest}", body=content)).status == 201
    async with client.get(f"/v2/app/blobs/{digest}") as download:  # its head is here, its body is on the way
        assert (await ask(client, "DELETE", f"/v2/app/blobs/{digest}")).status == 202
        assert digest_of(await download.read()) == digest
