"""end-11: a blob that another repository has need not be sent again."""

from pathlib import Path

import pytest

from tests.builders import digest_of
from tests.conftest import StartRegistry
from tests.push import Client, path_of, push_blob
from tests.raw import ask

_BLOB = b"a layer that many share"
_DIGEST = digest_of(_BLOB)
_MOUNT = "/v2/app/blobs/uploads/?mount="


@pytest.mark.parametrize("query", [f"{_DIGEST}&from=team/base", f"{_DIGEST}&from=team%2Fbase", _DIGEST])
async def test_a_mount_answers_201_and_the_blob_is_there(client: Client, query: str) -> None:
    await push_blob(client, "team/base", _BLOB)
    answer = await ask(client, "POST", _MOUNT + query)
    assert (answer.status, path_of(answer.headers["Location"])) == (201, f"/v2/app/blobs/{_DIGEST}")
    assert answer.headers["Docker-Content-Digest"] == _DIGEST
    assert (await ask(client, "GET", f"/v2/app/blobs/{_DIGEST}")).body == _BLOB


async def test_a_mount_of_a_sha512_blob_keeps_its_digest(client: Client) -> None:
    digest = await push_blob(client, "base", _BLOB, "sha512")
    answer = await ask(client, "POST", f"{_MOUNT}{digest}&from=base")
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest)
    assert (await ask(client, "GET", path_of(answer.headers["Location"]))).body == _BLOB


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(f"{_DIGEST}&from=other", id="the source does not have it"),
        pytest.param(f"{_DIGEST}&from=none", id="there is no such source"),
        pytest.param(f"{digest_of(b'none')}&from=base", id="no repository has it"),
        pytest.param(digest_of(b"none"), id="no repository has it, no source"),
        pytest.param(f"{_DIGEST}&from=app", id="the source is the target"),
    ],
)
async def test_a_mount_that_fails_begins_an_upload(client: Client, query: str) -> None:
    await push_blob(client, "base", _BLOB)
    await push_blob(client, "other", b"something else")
    answer = await ask(client, "POST", _MOUNT + query)
    assert (answer.status, answer.headers["Range"]) == (202, "0-0")
    (await ask(client, "GET", f"/v2/app/blobs/{_DIGEST}")).assert_error(404, "BLOB_UNKNOWN")
    pushed = await ask(client, "PUT", f"{path_of(answer.headers['Location'])}?digest={_DIGEST}", body=_BLOB)
    assert pushed.status == 201


async def test_a_mount_that_fails_with_digest_and_body_is_a_push(client: Client) -> None:
    answer = await ask(client, "POST", f"{_MOUNT}{_DIGEST}&from=none&digest={_DIGEST}", body=_BLOB)
    assert answer.status == 201
    assert (await ask(client, "GET", f"/v2/app/blobs/{_DIGEST}")).body == _BLOB


async def test_from_without_mount_begins_an_upload(client: Client) -> None:
    assert (await ask(client, "POST", "/v2/app/blobs/uploads/?from=base")).status == 202


async def test_a_mount_of_what_is_there_already_answers_201(client: Client) -> None:
    await push_blob(client, "app", _BLOB)
    for query in ["", "&from=app"]:
        assert (await ask(client, "POST", f"{_MOUNT}{_DIGEST}{query}")).status == 201


async def test_a_mounted_blob_outlives_its_source(start_registry: StartRegistry) -> None:
    client = await start_registry()
    await push_blob(client, "base", _BLOB)
    assert (await ask(client, "POST", f"{_MOUNT}{_DIGEST}&from=base")).status == 201
    assert (await ask(client, "DELETE", f"/v2/base/blobs/{_DIGEST}")).status == 202
    (await ask(client, "GET", f"/v2/base/blobs/{_DIGEST}")).assert_error(404, "BLOB_UNKNOWN")
    assert (await ask(client, "GET", f"/v2/app/blobs/{_DIGEST}")).body == _BLOB


async def test_a_blob_whose_bytes_are_gone_is_not_mounted(client: Client, tmp_path: Path) -> None:
    await push_blob(client, "base", _BLOB)
    for data in tmp_path.glob("data/docker/registry/v2/blobs/*/*/*/data"):
        data.unlink()
    for query in ["", "&from=base"]:
        assert (await ask(client, "POST", f"{_MOUNT}{_DIGEST}{query}")).status == 202
