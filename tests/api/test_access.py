"""Repositories and uploads of others, as callers see them: lists, mounts, uploads."""

import re
from pathlib import Path

import pytest

from tests.auth.credentials import basic
from tests.auth.rules import ACCESS, ADMIN, CI, GUEST, bearer, start_with_rules, token_for
from tests.builders import artifact, digest_of, image
from tests.conftest import StartRegistry
from tests.push import Client, path_of
from tests.raw import RawAnswer, ask

_NAMES = ["ci/a", "ci/b", "private", "public/a", "public/b", "public/c", "x/secret"]
_BLOB = b"a layer that only some may see"
_DIGEST = digest_of(_BLOB)


@pytest.fixture
async def ruled(start_registry: StartRegistry, tmp_path: Path) -> Client:
    """Return a registry with rules: all may pull public/**, ci may push ci/**, the admin may do all."""
    return await start_with_rules(start_registry, tmp_path)


async def push(client: Client, method: str, path: str, body: bytes, headers: dict[str, str] = ADMIN) -> RawAnswer:
    return await ask(client, method, path, {**headers, "Content-Length": str(len(body))}, body)


async def push_blob(client: Client, name: str, content: bytes = _BLOB, headers: dict[str, str] = ADMIN) -> str:
    path = f"/v2/{name}/blobs/uploads/?digest={digest_of(content)}"
    assert (await push(client, "POST", path, content, headers)).status == 201
    return digest_of(content)


async def push_image(client: Client, name: str) -> None:
    for content in image().blobs:
        await push_blob(client, name, content)
    assert (await push(client, "PUT", f"/v2/{name}/manifests/latest", image().content)).status == 201


async def catalog(client: Client, headers: dict[str, str], size: int | None = None) -> list[str]:
    """All pages of it."""
    path, found = "/v2/_catalog" + (f"?n={size}" if size else ""), []
    for _ in range(20):
        answer = await ask(client, "GET", path, headers)
        page = answer.json()["repositories"]
        assert size is None or len(page) <= size
        found += page
        link = answer.headers.get("Link")
        if link is None:
            return found
        assert len(page) == size, "only the last page may be short"
        match = re.fullmatch(r'<(.*)>; rel="next"', link)
        assert match is not None
        path = match[1]
    raise AssertionError("the pages do not end")


async def test_the_catalog_shows_what_the_caller_may_pull_on_whole_pages(ruled: Client) -> None:
    for name in _NAMES:
        await push_image(ruled, name)
    anonymous = bearer(await token_for(ruled, {}, ["registry:catalog:*"]))
    ci = bearer(await token_for(ruled, CI, ["registry:catalog:*"]))
    expected = [
        (ADMIN, _NAMES),
        (CI, ["ci/a", "ci/b", "public/a", "public/b", "public/c"]),
        (ci, ["ci/a", "ci/b", "public/a", "public/b", "public/c"]),
        (GUEST, ["public/a", "public/b", "public/c"]),
        (anonymous, ["public/a", "public/b", "public/c"]),
    ]
    for headers, names in expected:
        for size in [None, 1, 2, 3, 100]:
            assert await catalog(ruled, headers, size) == names
    answer = await ask(ruled, "GET", "/v2/_catalog?n=2&last=ci/b", GUEST)
    assert answer.json()["repositories"] == ["public/a", "public/b"]
    answer = await ask(ruled, "GET", "/v2/_catalog?n=3&last=private", GUEST)
    assert "Link" not in answer.headers, "what comes behind is nothing that this user may know of"


async def test_tags_and_referrers_are_for_those_who_may_pull(ruled: Client) -> None:
    for name in ["private", "public/a"]:
        await push_image(ruled, name)
        content = artifact(image()).content
        for blob in artifact(image()).blobs:
            await push_blob(ruled, name, blob)
        assert (await push(ruled, "PUT", f"/v2/{name}/manifests/{digest_of(content)}", content)).status == 201
    for path in ["tags/list", f"referrers/{image().digest}"]:
        assert (await ask(ruled, "GET", f"/v2/private/{path}", ADMIN)).status == 200
        (await ask(ruled, "GET", f"/v2/private/{path}", GUEST)).assert_error(403, "DENIED")
        (await ask(ruled, "GET", f"/v2/private/{path}")).assert_error(401, "UNAUTHORIZED")
        assert (await ask(ruled, "GET", f"/v2/public/a/{path}")).status == 200


async def test_what_exists_and_what_does_not_look_the_same_to_who_may_not_know(ruled: Client) -> None:
    await push_image(ruled, "private")
    for headers in [GUEST, {}]:
        there, nowhere = [
            await ask(ruled, "GET", f"/v2/{name}/manifests/latest", headers) for name in ("private", "nowhere")
        ]
        assert there.status == nowhere.status
        assert there.body.replace(b"private", b"nowhere") == nowhere.body
        assert set(there.headers) == set(nowhere.headers)


@pytest.mark.parametrize("source", ["private", "nowhere", "ci/other"])
async def test_a_mount_needs_to_pull_its_source(ruled: Client, source: str) -> None:
    await push_blob(ruled, "private")
    for query in [f"mount={_DIGEST}&from={source}", f"mount={_DIGEST}"]:
        answer = await ask(ruled, "POST", f"/v2/ci/app/blobs/uploads/?{query}", CI)
        assert (answer.status, answer.headers["Range"]) == (202, "0-0")
        (await ask(ruled, "GET", f"/v2/ci/app/blobs/{_DIGEST}", CI)).assert_error(404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("query", [f"mount={_DIGEST}&from=public/base", f"mount={_DIGEST}"])
async def test_a_mount_from_what_the_caller_may_pull_is_201(ruled: Client, query: str) -> None:
    await push_blob(ruled, "private")
    await push_blob(ruled, "public/base")
    assert (await ask(ruled, "POST", f"/v2/ci/app/blobs/uploads/?{query}", CI)).status == 201
    assert (await ask(ruled, "GET", f"/v2/ci/app/blobs/{_DIGEST}", CI)).body == _BLOB


async def test_with_a_token_a_mount_needs_its_source_in_the_scope(ruled: Client) -> None:
    await push_blob(ruled, "public/base")
    query = f"/v2/ci/app/blobs/uploads/?mount={_DIGEST}&from=public/base"
    target = "repository:ci/app:pull,push"
    alone, both = [await token_for(ruled, CI, [target, *more]) for more in ([], ["repository:public/base:pull"])]
    assert (await ask(ruled, "POST", query, bearer(alone))).status == 202
    assert (await ask(ruled, "POST", query, bearer(both))).status == 201


@pytest.fixture
async def shared(start_registry: StartRegistry, tmp_path: Path) -> Client:
    """Return a registry in which all may push to team/**, also anonymously."""
    actions = ["pull", "push"]
    return await start_with_rules(
        start_registry, tmp_path, [*ACCESS, {"repositories": "team/**", "who": "everyone", "actions": actions}]
    )


async def test_an_upload_is_unknown_to_every_other_user(shared: Client) -> None:
    begun = await ask(shared, "POST", "/v2/team/app/blobs/uploads/", CI)
    location = path_of(begun.headers["Location"])
    assert (await push(shared, "PATCH", location, b"begin", CI)).status == 202
    for other in [GUEST, ADMIN, {}]:
        for method, path in [
            ("GET", location),
            ("PATCH", location),
            ("PUT", f"{location}?digest={digest_of(b'begin')}"),
            ("DELETE", location),
        ]:
            answer = await ask(shared, method, path, {**other, "Content-Length": "0"})
            answer.assert_error(404, "BLOB_UPLOAD_UNKNOWN")
    status = await ask(shared, "GET", location, CI)
    assert (status.status, status.headers["Range"]) == (204, "0-4")
    finished = await push(shared, "PUT", f"{location}?digest={digest_of(b'begin, end')}", b", end", CI)
    assert finished.status == 201


async def test_an_upload_keeps_its_owner_from_chunk_to_chunk(shared: Client) -> None:
    location = path_of((await ask(shared, "POST", "/v2/team/app/blobs/uploads/", CI)).headers["Location"])
    for _ in range(3):
        assert (await push(shared, "PATCH", location, b"more", CI)).status == 202
        (await push(shared, "PATCH", location, b"more", GUEST)).assert_error(404, "BLOB_UPLOAD_UNKNOWN")
    assert (await ask(shared, "GET", location, CI)).headers["Range"] == "0-11"


async def test_an_upload_of_another_repository_is_unknown(shared: Client) -> None:
    location = path_of((await ask(shared, "POST", "/v2/team/app/blobs/uploads/", CI)).headers["Location"])
    for name in ["team/other", "ci/app"]:
        answer = await ask(shared, "GET", location.replace("team/app", name), CI)
        answer.assert_error(404, "BLOB_UPLOAD_UNKNOWN")


async def test_the_same_user_goes_on_with_a_password_or_a_token_and_after_a_restart(
    start_registry: StartRegistry, shared: Client, tmp_path: Path
) -> None:
    location = path_of((await ask(shared, "POST", "/v2/team/app/blobs/uploads/", CI)).headers["Location"])
    again = await start_with_rules(
        start_registry, tmp_path, [{"repositories": "**", "who": "everyone", "actions": ["pull", "push"]}]
    )
    token = bearer(await token_for(again, CI, ["repository:team/app:pull,push"]))
    assert (await push(again, "PATCH", location, b"begin", token)).status == 202
    (await ask(again, "GET", location, GUEST)).assert_error(404, "BLOB_UPLOAD_UNKNOWN")
    assert (await ask(again, "GET", location, CI)).headers["Range"] == "0-4"


async def test_an_upload_without_an_owner_is_for_everybody_who_may_push(shared: Client, tmp_path: Path) -> None:
    location = path_of((await ask(shared, "POST", "/v2/team/app/blobs/uploads/")).headers["Location"])
    assert (await push(shared, "PATCH", location, b"begin", {})).status == 202
    assert (await ask(shared, "GET", location, CI)).headers["Range"] == "0-4"
    foreign = tmp_path / "data/docker/registry/v2/repositories/team/app/_uploads/8ab1d5b4-0000-4000-8000-000000000001"
    foreign.mkdir()
    (foreign / "startedat").write_text("2026-01-01T00:00:00Z")
    (foreign / "data").write_bytes(b"of the CNCF registry")
    answer = await ask(shared, "GET", f"/v2/team/app/blobs/uploads/{foreign.name}", CI)
    assert (answer.status, answer.headers["Range"]) == (204, "0-19")


async def test_without_auth_rules_are_about_anonymous_callers_and_there_is_no_challenge(
    start_registry: StartRegistry,
) -> None:
    rules = [{"repositories": "public/**", "who": "anonymous", "actions": ["pull", "push"]}]
    client = await start_registry(pyregistry={"access": rules})
    await push_blob(client, "public/app", headers={})
    for headers in [{}, basic("admin", "x")]:
        assert (await ask(client, "GET", "/v2/", headers)).status == 200
        (await ask(client, "GET", "/v2/private/tags/list", headers)).assert_error(403, "DENIED")
        assert (await ask(client, "GET", f"/v2/public/app/blobs/{_DIGEST}", headers)).body == _BLOB
        (await ask(client, "GET", "/auth/token", headers)).assert_error(404, "NAME_UNKNOWN")
