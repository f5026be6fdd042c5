"""end-9: deletion of manifests and tags; a registry that deletes nothing; one that writes nothing."""

from pathlib import Path
from typing import Any

import pytest

from tests.builders import artifact, digest_of, image
from tests.conftest import StartRegistry
from tests.push import Client, assert_error, pull_image, push_blob, push_image, put_manifest, start_upload
from tests.raw import ask

_IMAGE = image()


async def _tags(client: Client, name: str = "app") -> Any:
    return (await ask(client, "GET", f"/v2/{name}/tags/list")).json()["tags"]


async def test_deleting_a_tag_leaves_the_manifest_and_its_other_tags(client: Client) -> None:
    for tag in ["one", "two"]:
        await push_image(client, "app", _IMAGE, tag)
    answer = await ask(client, "DELETE", "/v2/app/manifests/one")
    assert (answer.status, answer.body) == (202, b"")
    (await ask(client, "GET", "/v2/app/manifests/one")).assert_error(404, "MANIFEST_UNKNOWN")
    (await ask(client, "DELETE", "/v2/app/manifests/one")).assert_error(404, "MANIFEST_UNKNOWN")
    assert await _tags(client) == ["two"]
    for reference in ["two", _IMAGE.digest]:
        await pull_image(client, "app", _IMAGE, reference)


async def test_deleting_a_manifest_takes_its_tags_along_and_no_other(client: Client) -> None:
    other = image(b"other")
    for tag in ["one", "two"]:
        await push_image(client, "app", _IMAGE, tag)
    await push_image(client, "app", other, "three")
    await push_image(client, "elsewhere", _IMAGE, "one")
    assert (await ask(client, "DELETE", f"/v2/app/manifests/{_IMAGE.digest}")).status == 202
    for reference in ["one", "two", _IMAGE.digest]:
        (await ask(client, "GET", f"/v2/app/manifests/{reference}")).assert_error(404, "MANIFEST_UNKNOWN")
    (await ask(client, "DELETE", f"/v2/app/manifests/{_IMAGE.digest}")).assert_error(404, "MANIFEST_UNKNOWN")
    assert await _tags(client) == ["three"]
    await pull_image(client, "app", other, "three")
    await pull_image(client, "elsewhere", _IMAGE, "one")


async def test_a_tag_that_moved_on_outlives_the_manifest_that_it_named(client: Client) -> None:
    newer = image(b"newer")
    await push_image(client, "app", _IMAGE, "latest")
    await push_image(client, "app", newer, "latest")
    assert (await ask(client, "DELETE", f"/v2/app/manifests/{_IMAGE.digest}")).status == 202
    await pull_image(client, "app", newer, "latest")


async def test_what_was_deleted_can_be_pushed_again(client: Client) -> None:
    for reference in ["latest", _IMAGE.digest, "latest"]:
        await push_image(client, "app", _IMAGE, "latest")
        await pull_image(client, "app", _IMAGE, "latest")
        assert (await ask(client, "DELETE", f"/v2/app/manifests/{reference}")).status == 202
    assert await _tags(client) == []


async def test_deleting_an_artifact_takes_it_out_of_the_referrers(client: Client) -> None:
    signature = artifact(subject=_IMAGE)
    await push_image(client, "app", _IMAGE)
    await push_image(client, "app", signature)
    path = f"/v2/app/referrers/{_IMAGE.digest}"
    assert len((await ask(client, "GET", path)).json()["manifests"]) == 1
    assert (await ask(client, "DELETE", f"/v2/app/manifests/{signature.digest}")).status == 202
    assert (await ask(client, "GET", path)).json()["manifests"] == []


async def test_a_subject_may_be_deleted_before_its_referrers(client: Client) -> None:
    signature = artifact(subject=_IMAGE)
    for pushed in [_IMAGE, signature]:
        await push_image(client, "app", pushed)
    assert (await ask(client, "DELETE", f"/v2/app/manifests/{_IMAGE.digest}")).status == 202
    listed = (await ask(client, "GET", f"/v2/app/referrers/{_IMAGE.digest}")).json()["manifests"]
    assert [entry["digest"] for entry in listed] == [signature.digest]


async def test_a_repository_without_manifests_is_empty_and_not_in_the_catalog(client: Client) -> None:
    await push_image(client, "app", _IMAGE, "latest")
    assert (await ask(client, "GET", "/v2/_catalog")).json() == {"repositories": ["app"]}
    assert (await ask(client, "DELETE", f"/v2/app/manifests/{_IMAGE.digest}")).status == 202
    assert (await ask(client, "GET", "/v2/_catalog")).json() == {"repositories": []}
    assert (await ask(client, "GET", "/v2/app/tags/list")).json() == {"name": "app", "tags": []}


@pytest.mark.parametrize("storage", [{}, {"delete": {"enabled": False}}], ids=["by default", "said so"])
async def test_deletion_that_is_switched_off_is_answered_405(
    start_registry: StartRegistry, tmp_path: Path, storage: dict[str, Any]
) -> None:
    client = await start_registry(storage={"filesystem": {"rootdirectory": str(tmp_path / "data")}, **storage})
    await push_image(client, "app", _IMAGE, "latest")
    layer = digest_of(_IMAGE.blobs[1])
    for path in ["manifests/latest", f"manifests/{_IMAGE.digest}", f"blobs/{layer}", "manifests/none"]:
        (await ask(client, "DELETE", f"/v2/app/{path}")).assert_error(405, "UNSUPPORTED")
    await pull_image(client, "app", _IMAGE, "latest")
    location = await start_upload(client, "app")
    assert (await ask(client, "DELETE", location)).status == 204


async def test_a_read_only_registry_answers_every_write_with_405_and_serves_every_read(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    writable = await start_registry()
    await push_image(writable, "app", _IMAGE, "latest")
    location = await start_upload(writable, "app")
    client = await start_registry(
        storage={
            "filesystem": {"rootdirectory": str(tmp_path / "data")},
            "delete": {"enabled": True},
            "maintenance": {"readonly": {"enabled": True}},
        }
    )
    layer = digest_of(_IMAGE.blobs[1])
    for method, path in [
        ("POST", "/v2/app/blobs/uploads/"),
        ("POST", f"/v2/new/blobs/uploads/?mount={layer}&from=app"),
        ("PATCH", location),
        ("PUT", f"{location}?digest={layer}"),
        ("DELETE", location),
        ("PUT", "/v2/app/manifests/latest"),
        ("DELETE", "/v2/app/manifests/latest"),
        ("DELETE", f"/v2/app/blobs/{layer}"),
    ]:
        (await ask(client, method, path)).assert_error(405, "UNSUPPORTED")
    await pull_image(client, "app", _IMAGE, "latest")
    for path in ["/v2/", "/v2/_catalog", "/v2/app/tags/list", f"/v2/app/referrers/{_IMAGE.digest}", location]:
        assert (await ask(client, "GET", path)).status in {200, 204}
    (await ask(client, "GET", "/nowhere")).assert_error(404, "NAME_UNKNOWN")


async def test_a_manifest_may_refer_to_a_blob_until_it_is_deleted(client: Client) -> None:
    await push_image(client, "app", _IMAGE)
    layer = digest_of(_IMAGE.blobs[1])
    assert (await ask(client, "DELETE", f"/v2/app/blobs/{layer}")).status == 202
    entry = await assert_error(await put_manifest(client, "app", _IMAGE, "latest"), 404, "MANIFEST_BLOB_UNKNOWN")
    assert entry["detail"] == {"digest": layer}
    await push_blob(client, "app", _IMAGE.blobs[1])
    assert (await put_manifest(client, "app", _IMAGE, "latest")).status == 201
