"""Requests that break naive servers: protocol.md, section 6, the list at its end, and known needs of clients."""

import pytest

from tests.api.conftest import ALICE
from tests.builders import OCI_INDEX, digest_of, image
from tests.conftest import StartRegistry
from tests.push import Client, assert_error, path_of, push_blob, push_image, start_upload
from tests.raw import ask, connected

_NOWHERE = digest_of(b"nowhere")


@pytest.mark.parametrize(
    ("http", "begin"),
    [
        ({}, "/v2/"),
        ({"prefix": "/registry/"}, "/registry/v2/"),
        ({"prefix": "/deep/er/"}, "/deep/er/v2/"),
        ({"host": "https://registry.example.com"}, "https://registry.example.com/v2/"),
        ({"host": "https://registry.example.com:8443/"}, "https://registry.example.com:8443/v2/"),
        ({"host": "https://example.com", "prefix": "/registry/"}, "https://example.com/registry/v2/"),
    ],
)
async def test_every_location_begins_with_host_and_prefix(
    start_registry: StartRegistry, http: dict[str, str], begin: str
) -> None:
    client = await start_registry(http=http)
    prefix = http.get("prefix", "/").rstrip("/")
    local = f"{prefix}/v2/app"
    posted = await ask(client, "POST", f"{local}/blobs/uploads/")
    begin = begin if "host" in http else f"http://registry.test{begin}"
    begun = f"{begin}app/blobs/uploads/{posted.headers['Docker-Upload-Uuid']}?_state=0"
    assert posted.headers["Location"] == begun
    upload = f"{local}/blobs/uploads/{posted.headers['Docker-Upload-Uuid']}"
    for method in ["PATCH", "GET"]:
        assert (await ask(client, method, upload)).headers["Location"] == begun
    wrong = await ask(client, "PATCH", upload, {"Content-Range": "5-6"}, b"xx")
    assert (wrong.status, wrong.headers["Location"]) == (416, begun)
    blob = digest_of(b"")
    for path in [f"{upload}?digest={blob}", f"{local}/blobs/uploads/?digest={blob}"]:
        pushed = await ask(client, "PUT" if path.startswith(upload) else "POST", path)
        assert (pushed.status, pushed.headers["Location"]) == (201, f"{begin}app/blobs/{blob}")
    mounted = await ask(client, "POST", f"{prefix}/v2/other/blobs/uploads/?mount={blob}&from=app")
    assert (mounted.status, mounted.headers["Location"]) == (201, f"{begin}other/blobs/{blob}")
    index = b'{"schemaVersion": 2, "manifests": []}'
    put = await ask(client, "PUT", f"{local}/manifests/latest", body=index)
    assert put.headers["Location"] == f"{begin}app/manifests/{digest_of(index)}"


@pytest.mark.parametrize("slash", ["", "/"])
async def test_urls_of_uploads_work_with_and_without_a_slash_at_the_end(client: Client, slash: str) -> None:
    posted = await ask(client, "POST", f"/v2/app/blobs/uploads{slash}")
    assert posted.status == 202
    location = path_of(posted.headers["Location"]) + slash
    assert (await ask(client, "PATCH", location, body=b"body")).status == 202
    assert (await ask(client, "GET", location)).status == 204
    assert (await ask(client, "PUT", f"{location}?digest={digest_of(b'body')}")).status == 201


@pytest.mark.parametrize(
    "query",
    [
        "digest={}",
        "digest={}&_state=abc%2Fdef%3D%3D",
        "_state=abc&digest={}&ns=docker.io",
        "ns=docker.io&digest={}",
        "&&digest={}&",
        "flag&digest={}",
    ],
)
@pytest.mark.parametrize("encoded", [True, False], ids=["encoded", "plain"])
async def test_unknown_parameters_are_accepted_in_any_order_and_digests_in_any_encoding(
    client: Client, query: str, encoded: bool
) -> None:
    content = b"content"
    digest = digest_of(content).replace(":", "%3A") if encoded else digest_of(content)
    location = await start_upload(client, "app")
    assert (await ask(client, "PATCH", f"{location}?_state=abc", body=content)).status == 202
    assert (await ask(client, "PUT", f"{location}?{query.format(digest)}")).status == 201
    assert (await ask(client, "GET", f"/v2/app/blobs/{digest}")).body == content


@pytest.mark.parametrize("path", ["manifests/latest", "manifests/DIGEST", "tags/list", "referrers/DIGEST"])
async def test_the_ns_parameter_of_containerd_is_ignored(client: Client, path: str) -> None:
    content = image()
    await push_image(client, "app", content, "latest")
    path = f"/v2/app/{path.replace('DIGEST', content.digest)}"
    assert (await ask(client, "GET", f"{path}?ns=docker.io")).body == (await ask(client, "GET", path)).body


async def test_head_has_the_content_length_of_get_and_no_body(client: Client) -> None:
    content = image(b"")
    await push_image(client, "app", content, "latest")
    paths = ["/v2/", "/v2/app/manifests/latest", f"/v2/app/manifests/{content.digest}"]
    paths += [f"/v2/app/blobs/{digest_of(blob)}" for blob in content.blobs]
    paths += ["/v2/app/manifests/none", f"/v2/app/blobs/{_NOWHERE}", "/v2/APP/manifests/x", "/nowhere"]
    async with connected(client) as connection:
        for path in paths:
            head = await connection.request("HEAD", path)
            get = await connection.request("GET", path)
            assert head.status == get.status
            for name in ["Content-Length", "Content-Type", "Docker-Content-Digest", "ETag"]:
                assert head.headers.getall(name, []) == get.headers.getall(name, [])
            assert head.headers["Content-Length"] == str(len(get.body))


async def test_head_of_an_empty_blob_says_content_length_0(client: Client) -> None:
    digest = await push_blob(client, "app", b"")
    head = await ask(client, "HEAD", f"/v2/app/blobs/{digest}")
    assert (head.status, head.headers["Content-Length"]) == (200, "0")


@pytest.mark.parametrize("encodings", ["gzip", "gzip, deflate, br, zstd", "*", "gzip;q=1.0, identity;q=0"])
async def test_no_answer_is_ever_compressed_or_chunked(client: Client, encodings: str) -> None:
    content = image(b"a" * 100_000)
    await push_image(client, "app", content, "latest")
    for path in [
        "/v2/",
        "/v2/_catalog",
        "/v2/app/tags/list",
        "/v2/app/manifests/latest",
        f"/v2/app/blobs/{digest_of(content.blobs[1])}",
        f"/v2/app/referrers/{content.digest}",
        "/v2/none/tags/list",
    ]:
        answer = await ask(client, "GET", path, {"Accept-Encoding": encodings})
        assert not {"Content-Encoding", "Transfer-Encoding", "Vary"} & set(answer.headers)
        assert answer.headers["Content-Length"] == str(len(answer.body))
    assert (await ask(client, "GET", f"/v2/app/blobs/{digest_of(content.blobs[1])}")).body == content.blobs[1]


async def test_accept_may_stand_in_many_lines(client: Client) -> None:
    content = image()
    await push_image(client, "app", content, "latest")
    lines = [("Accept", media_type) for media_type in ("application/json", OCI_INDEX, content.media_type, "*/*")]
    for method in ["GET", "HEAD"]:
        response = await client.request(method, "/v2/app/manifests/latest", headers=lines)
        assert (response.status, response.headers["Content-Type"]) == (200, content.media_type)


async def test_every_401_has_a_challenge_also_for_head(guarded: Client) -> None:
    for method, path in [
        ("GET", "/v2/"),
        ("HEAD", "/v2/"),
        ("HEAD", "/v2/app/manifests/latest"),
        ("HEAD", f"/v2/app/blobs/{_NOWHERE}"),
        ("POST", "/v2/app/blobs/uploads/"),
        ("GET", "/v2/_catalog"),
        ("DELETE", "/v2/app/manifests/latest"),
        ("GET", "/nowhere"),
        ("TRACE", "/v2/"),
        ("GET", "/v2/BAD/tags/list"),
    ]:
        answer = await ask(guarded, method, path)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="Test Registry"'
        if method != "HEAD":
            answer.assert_error(401, "UNAUTHORIZED")
        assert (await ask(guarded, method, path, ALICE)).status != 401


async def test_the_ping_is_200_without_auth_and_says_registry_2(client: Client) -> None:
    for path in ["/v2/", "/v2"]:
        answer = await ask(client, "GET", path)
        assert (answer.status, answer.body) == (200, b"{}")
        assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"


@pytest.mark.parametrize(
    "path", ["/v2/", "/v2/app/tags/list", "/v2/app/manifests/x", f"/v2/app/blobs/{_NOWHERE}", "/v2/app/blobs/uploads/"]
)
async def test_options_is_answered_without_credentials(guarded: Client, path: str) -> None:
    answer = await ask(guarded, "OPTIONS", path, {"Origin": "https://ui.test"})
    assert answer.status == 204
    assert "OPTIONS" in answer.headers["Allow"]
    assert "WWW-Authenticate" not in answer.headers


async def test_options_changes_and_tells_nothing(guarded: Client) -> None:
    known = await ask(guarded, "OPTIONS", "/v2/app/manifests/latest")
    other = await ask(guarded, "OPTIONS", "/v2/none/manifests/none")
    assert (known.status, known.headers["Allow"], known.body) == (other.status, other.headers["Allow"], other.body)


async def test_errors_leave_the_connection_usable(client: Client) -> None:
    async with connected(client) as connection:
        for method, path, status in [
            ("HEAD", "/v2/app/manifests/none", 404),
            ("GET", "/v2/app/manifests/none", 404),
            ("HEAD", f"/v2/app/blobs/{_NOWHERE}", 404),
            ("DELETE", "/v2/app/manifests/none", 404),
            ("TRACE", "/v2/", 405),
            ("GET", "/v2/app/tags/list?n=x", 400),
            ("GET", "/v2/", 200),
        ]:
            assert (await connection.request(method, path)).status == status


async def test_a_tag_that_does_not_exist_is_plainly_unknown(client: Client) -> None:
    await push_image(client, "app", image(), "latest")
    for name in ["app", "none"]:
        await assert_error(await client.get(f"/v2/{name}/manifests/buildcache"), 404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize("path", ["/v1/_ping", "/v1/search?q=app&n=25"])
async def test_dockers_first_api_is_not_there(client: Client, path: str) -> None:
    await assert_error(await client.get(path), 404, "NAME_UNKNOWN")


async def test_the_probe_for_referrers_gets_an_empty_index(client: Client) -> None:
    answer = await ask(client, "GET", "/v2/app/referrers/sha256:" + "0" * 64)
    assert (answer.status, answer.headers["Content-Type"]) == (200, OCI_INDEX)
    assert answer.json() == {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
