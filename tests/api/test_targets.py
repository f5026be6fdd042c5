"""Paths and queries as scripts glue them together: the endpoint answers, and everything else sees the clean path."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from pyregistry.api.http.targets import is_untidy, tidy
from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.builders import digest_of, index
from tests.conftest import RegistryServer, StartRegistry
from tests.push import Client, push_blob, push_image, start_upload
from tests.raw import ask

_BLOB = b"hello"
_DIGEST = digest_of(_BLOB)
_INDEX = index()
_MANIFEST = f"/v2/team/app/manifests/{_INDEX.digest}"

_SPELLINGS = {
    "/v2/": ["//v2/", "/v2//", "//v2", "///v2///"],
    "/v2/_catalog": ["/v2/_catalog/", "/v2//_catalog", "//v2/_catalog", "/v2/_catalog//"],
    "/v2/_catalog?n=1": ["/v2/_catalog/?n=1", "//v2/_catalog?n=1"],
    "/v2/team/app/tags/list": ["/v2/team/app/tags/list/", "/v2//team//app/tags//list", "//v2/team/app/tags/list"],
    _MANIFEST: [f"{_MANIFEST}/", f"/{_MANIFEST}", _MANIFEST.replace("/", "//"), f"http://registry.test/{_MANIFEST}/"],
    "/v2/team/app/manifests/latest": ["/v2/team/app/manifests//latest", "//v2/team/app/manifests/latest/"],
    f"/v2/team/app/blobs/{_DIGEST}": [f"/v2/team/app/blobs//{_DIGEST}", f"//v2/team/app/blobs/{_DIGEST}/"],
    f"/v2/team/app/referrers/{_DIGEST}": [f"/v2/team/app/referrers/{_DIGEST}/", f"/v2//team/app/referrers/{_DIGEST}"],
    "/": ["//"],
    "/livez": ["//livez", "/livez/"],
}
_PAIRS = [(clean, spelt) for clean, spellings in _SPELLINGS.items() for spelt in spellings]


@pytest.mark.parametrize(("clean", "spelt"), _PAIRS, ids=[spelt[:60] for _, spelt in _PAIRS])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PATCH"])
async def test_slashes_too_many_change_no_answer(client: Client, method: str, clean: str, spelt: str) -> None:
    await push_blob(client, "team/app", _BLOB)
    await push_image(client, "team/app", _INDEX, "latest")
    expected, answer = await ask(client, method, clean), await ask(client, method, spelt)
    assert expected.status in {"GET": {200}, "HEAD": {200, 405}, "OPTIONS": {204}, "PATCH": {405}}[method]
    assert (answer.status, answer.body) == (expected.status, expected.body)
    for name in ("Content-Length", "Docker-Content-Digest", "Allow", "Link", "Location"):
        assert answer.headers.get(name) == expected.headers.get(name)


async def test_a_push_works_with_slashes_too_many(client: Client) -> None:
    started = await ask(client, "POST", "//v2//team/app/blobs/uploads//")
    assert started.status == 202
    path = f"/v2/team/app/blobs/uploads/{started.headers['Docker-Upload-Uuid']}"
    assert (await ask(client, "PATCH", f"/{path}/", body=_BLOB[:2])).headers["Range"] == "0-1"
    assert (await ask(client, "HEAD", f"{path}//")).headers["Range"] == "0-1"
    assert (await ask(client, "PUT", f"{path}/?digest={_DIGEST}", body=_BLOB[2:])).status == 201
    answer = await ask(client, "PUT", "/v2//team/app/manifests/latest/", body=_INDEX.content)
    assert answer.status == 201
    assert (await ask(client, "GET", "/v2/team/app/manifests/latest")).body == _INDEX.content
    assert (await ask(client, "DELETE", "//v2/team/app/manifests/latest/")).status == 202
    assert (await ask(client, "POST", "//v2/team/app/blobs/uploads?digest=" + _DIGEST, body=_BLOB)).status == 201


@pytest.mark.parametrize("path", ["/v2/%2Fapp", "/v2/a%2F%2Fb", "/v2/a/../b", "/v2/./b", "/v2/..", "/v2/a%2F..%2Fb"])
async def test_dots_and_encoded_slashes_are_not_resolved(client: Client, tmp_path: Path, path: str) -> None:
    for name in ("app", "a/b", "b"):
        await push_image(client, name, _INDEX, "latest")
    for method, rest in [("GET", "manifests/latest"), ("POST", "blobs/uploads/"), ("GET", "tags/list")]:
        (await ask(client, method, f"{path}/{rest}")).assert_error(400, "NAME_INVALID")


@pytest.mark.parametrize(
    "target", ["http://a:99999//v2//", "http://u:p@a//v2//", "http://[::1]//v2//", "http:////v2//"]
)
async def test_the_host_of_a_target_is_not_looked_at(client: Client, target: str) -> None:
    assert (await ask(client, "GET", target)).status in (200, 400)
    assert (await ask(client, "GET", target.replace("v2", "v2/none/tags/list"))).status in (404, 400)


_RULES = [{"repositories": ["open/**"], "who": ["anonymous"], "actions": ["pull"]}]


@pytest.mark.parametrize("path", ["/v2//secret/tags/list", "//v2/secret/tags/list/", "/v2/secret//tags/list"])
async def test_the_rules_are_for_the_clean_path(start_registry: StartRegistry, tmp_path: Path, path: str) -> None:
    write_htpasswd(tmp_path / "htpasswd", {"alice": "secret"})
    rules = [*_RULES, {"repositories": ["secret"], "who": ["alice"], "actions": ["pull", "push"]}]
    client = await start_registry(auth=auth_section(tmp_path / "htpasswd"), pyregistry={"access": rules})
    (await ask(client, "GET", path)).assert_error(401, "UNAUTHORIZED")
    (await ask(client, "GET", path, basic("alice", "secret"))).assert_error(404, "NAME_UNKNOWN")
    (await ask(client, "GET", path.replace("secret", "open/app"))).assert_error(404, "NAME_UNKNOWN")


async def test_the_access_log_has_the_path_that_came(client: Client) -> None:
    assert (await ask(client, "GET", "//v2//_catalog/?n=1&last=x//y")).status == 200
    server = client.server
    assert isinstance(server, RegistryServer)
    assert b'"GET //v2//_catalog/ HTTP/1.1" 200' in server.access_log.getvalue()


_PIECES = st.sampled_from(["/", "//", "v2", "app", "blobs", "uploads", "&", "?", "=", "digest=x", "..", "%2F", "%26"])


@given(st.lists(_PIECES, max_size=14).map("".join))
@example("/v2/app/blobs/uploads/x&digest=y?_state=0")
def test_a_tidy_target_stays_as_it_is(rest: str) -> None:
    target = f"/{rest}"
    path, _, query = target.partition("?")
    url = URL.build(path=path, query_string=query, encoded=True)
    clean = tidy(url)
    again = f"{clean.raw_path}?{clean.raw_query_string}" if clean.raw_query_string else clean.raw_path
    assert "//" not in clean.raw_path
    assert clean.raw_path.startswith("/")
    assert tidy(clean) == clean
    if not is_untidy(target):
        assert again == (target if query else path)
    # Nothing but slashes and the parameters of uploads may move, or rules and storage would see another name.
    if "&" not in path:
        assert [part for part in clean.raw_path.split("/") if part] == [part for part in path.split("/") if part]


_CLOSING = {
    "behind the query of the Location": "{path}?{query}&digest={digest}",
    "percent-encoded": "{path}?{query}&digest={encoded}",
    "behind a second question mark": "{path}?{query}?digest={digest}",
    "instead of the query": "{path}?digest={digest}",
    "before the query": "{path}?digest={digest}&{query}",
    "behind a slash": "{path}/?digest={digest}",
    "with & behind a path without a query": "{path}&digest={digest}",
    "with & behind a path, percent-encoded": "{path}&digest={encoded}",
    "with & behind a path, then the query": "{path}&digest={digest}?{query}",
    "behind ?&": "{path}?&digest={digest}",
    "behind two question marks": "{path}??digest={digest}",
    "behind two ampersands": "{path}?{query}&&digest={digest}",
    "with a foreign state": "{path}?_state=ZXhhbXBsZQ%3D%3D&digest={digest}",
    "with an empty state": "{path}?_state=&digest={digest}",
    "with unknown parameters": "{path}?{query}&digest={digest}&x=y",
}


@pytest.mark.parametrize("target", _CLOSING.values(), ids=_CLOSING)
@pytest.mark.parametrize("body", [_BLOB, b""], ids=["with the blob", "empty"])
async def test_the_digest_may_be_glued_to_the_location(client: Client, target: str, body: bytes) -> None:
    path, _, query = (await start_upload(client, "app")).partition("?")
    if not body:
        assert (await ask(client, "PATCH", f"{path}?{query}", body=_BLOB)).status == 202
    target = target.format(path=path, query=query, digest=_DIGEST, encoded=_DIGEST.replace(":", "%3A"))
    assert (await ask(client, "PUT", target, body=body)).status == 201
    assert (await ask(client, "GET", f"/v2/app/blobs/{_DIGEST}")).body == _BLOB


@pytest.mark.parametrize(
    "target", ["{path}?{query}", "{path}", "{path}?{query}&x=y", "{path}?{query}?x=y", "{path}&x=y"]
)
async def test_an_upload_goes_on_at_every_spelling_of_its_location(client: Client, target: str) -> None:
    path, _, query = (await start_upload(client, "app")).partition("?")
    target = target.format(path=path, query=query)
    assert (await ask(client, "PATCH", target, body=_BLOB)).headers["Range"] == "0-4"
    for method in ("GET", "HEAD"):
        answer = await ask(client, method, target)
        assert (answer.status, answer.headers["Range"]) == (204, "0-4")
    assert (await ask(client, "DELETE", target)).status == 204
    (await ask(client, "GET", target)).assert_error(404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("query", ["?digest={}", "&digest={}", "??digest={}"])
async def test_a_whole_blob_may_come_with_a_digest_that_is_glued(client: Client, query: str) -> None:
    path = "/v2/app/blobs/uploads/" + query.format(_DIGEST)
    assert (await ask(client, "POST", path, body=_BLOB)).status == 201


async def test_head_of_an_upload_answers_as_get(client: Client) -> None:
    location = await start_upload(client, "app")
    assert (await ask(client, "PATCH", location, body=_BLOB)).status == 202
    got, asked = await ask(client, "GET", location), await ask(client, "HEAD", location)
    assert (asked.status, asked.body) == (got.status, b"") == (204, b"")
    for name in ("Location", "Range", "Docker-Upload-Uuid"):
        assert asked.headers[name] == got.headers[name]
    unknown = await ask(client, "HEAD", "/v2/app/blobs/uploads/4f6f1f5c-5c2c-4c1e-9d2c-000000000000")
    assert unknown.status == 404
