"""Tokens of our own: where clients get them, what they hold, and that no other tokens are accepted."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest

from tests.auth.credentials import auth_section, basic, write_htpasswd
from tests.auth.rules import ACCESS, ADMIN, CI, GUEST, PASSWORDS, bearer, start_with_rules, token_for
from tests.builders import digest_of
from tests.conftest import RegistryServer, StartRegistry
from tests.push import Client
from tests.raw import RawAnswer, ask

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_SERVER = "http://registry.test"


@pytest.fixture
async def ruled(start_registry: StartRegistry, tmp_path: Path) -> Client:
    """A registry with the rules of docs/users-and-access.md."""
    return await start_with_rules(start_registry, tmp_path)


def keys_in(directory: Path) -> list[dict[str, Any]]:
    """The content of the file that the workers share."""
    found: list[dict[str, Any]] = json.loads((directory / "data/.pyregistry/token-keys").read_text())
    return found


def claims_of(token: str) -> dict[str, Any]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


async def challenge(client: Client, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> str:
    answer = await ask(client, method, path, {"Host": "registry.test", **(headers or {})})
    answer.assert_error(401, "UNAUTHORIZED")
    return answer.headers["WWW-Authenticate"]


async def post(client: Client, **fields: str) -> RawAnswer:
    body = urlencode(fields).encode()
    return await ask(client, "POST", "/auth/token", {**_FORM, "Content-Length": str(len(body))}, body)


async def test_the_challenge_says_where_tokens_are_and_what_for(ruled: Client) -> None:
    begin = f'Bearer realm="{_SERVER}/auth/token",service="pyregistry"'
    assert await challenge(ruled, "/v2/") == begin
    assert await challenge(ruled, "/v2/_catalog") == f'{begin},scope="registry:catalog:*"'
    assert await challenge(ruled, "/v2/ci/app/tags/list") == f'{begin},scope="repository:ci/app:pull"'
    uploads = "/v2/ci/app/blobs/uploads/"
    assert await challenge(ruled, uploads, method="POST") == f'{begin},scope="repository:ci/app:pull,push"'
    mount = f"{uploads}?mount=x&from=public/base"
    scope = "repository:public/base:pull repository:ci/app:pull,push"
    assert await challenge(ruled, mount, method="POST") == f'{begin},scope="{scope}"'
    deleted = await challenge(ruled, "/v2/ci/app/manifests/x", method="DELETE")
    assert deleted == f'{begin},scope="repository:ci/app:delete"'
    assert await challenge(ruled, "/v2/", basic("ci", "wrong")) == begin
    assert await challenge(ruled, "/v2/", bearer("x.y.z")) == f'{begin},error="invalid_token"'
    other = bearer(await token_for(ruled, CI, ["repository:ci/other:pull"]))
    found = await challenge(ruled, "/v2/ci/app/tags/list", other)
    assert found == f'{begin},scope="repository:ci/app:pull",error="insufficient_scope"'


@pytest.mark.parametrize(
    ("headers", "realm"),
    [
        ({"Host": "a.test:5000"}, "http://a.test:5000"),
        ({"Host": "[::1]:5000"}, "http://[::1]:5000"),
        ({"Host": "a.test", "X-Forwarded-Proto": "https"}, "https://a.test"),
        (
            {"Host": "a.test", "X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "b.test, c.test"},
            "https://b.test",
        ),
        ({"Host": "a.test", "Forwarded": "for=1.2.3.4;proto=https;host=b.test, for=2.3.4.5"}, "https://b.test"),
        ({"Host": "a.test", "X-Forwarded-Proto": "HTTP"}, "http://a.test"),
        ({"Host": "a.test", "Forwarded": "proto=http"}, "http://a.test"),
        (
            {"Host": "a.test", "Forwarded": 'for="[2001:db8::1]:4711"; Proto="https" ;host="b.test:8443"'},
            "https://b.test:8443",
        ),
        ({"Host": "a.test", "X-Forwarded-Proto": "http", "Forwarded": "proto=https;host=b.test"}, "http://b.test"),
        # A proxy that says nothing of TLS, or nonsense: with http a client would send its password in clear.
        ({"Host": "a.test", "Via": "1.1 squid"}, "https://a.test"),
        ({"Host": "a.test", "X-Forwarded-For": "192.0.2.1"}, "https://a.test"),
        ({"Host": "a.test", "X-Real-IP": "192.0.2.1"}, "https://a.test"),
        ({"Host": "a.test", "X-Forwarded-Host": "b.test"}, "https://b.test"),
        ({"Host": "a.test", "Forwarded": "for=192.0.2.1"}, "https://a.test"),
        ({"Host": "a.test", "X-Forwarded-Proto": "javascript"}, "https://a.test"),
        ({"Host": "a.test", "X-Forwarded-Host": 'b.test",error="x'}, "https://a.test"),
        ({"Host": "a.test", "X-Forwarded-Host": "b.test/path"}, "https://a.test"),
    ],
)
async def test_the_realm_is_where_the_client_sees_the_registry(
    ruled: Client, headers: dict[str, str], realm: str
) -> None:
    assert (await challenge(ruled, "/v2/", headers)).startswith(f'Bearer realm="{realm}/auth/token",')


@pytest.mark.parametrize(
    ("trusted", "headers", "realm"),
    [
        (["127.0.0.1"], {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "b.test"}, "https://b.test"),
        (["127.0.0.0/8", "::1"], {"Forwarded": "proto=https;host=b.test"}, "https://b.test"),
        (["127.0.0.1"], {"X-Forwarded-Proto": "http"}, "http://a.test"),
        (["10.0.0.0/8"], {"X-Forwarded-Host": "b.test", "X-Forwarded-Proto": "http"}, "https://a.test"),
        ([], {"Forwarded": "proto=http;host=b.test"}, "https://a.test"),
        ([], {}, "http://a.test"),
    ],
)
async def test_with_trusted_proxies_only_their_word_counts_for_the_realm(
    start_registry: StartRegistry, tmp_path: Path, trusted: list[str], headers: dict[str, str], realm: str
) -> None:
    client = await start_with_rules(start_registry, tmp_path, pyregistry={"trusted-proxies": trusted})
    found = await challenge(client, "/v2/", {"Host": "a.test", **headers})
    assert found.startswith(f'Bearer realm="{realm}/auth/token",')


async def test_the_realm_comes_from_the_config_if_that_says_it(start_registry: StartRegistry, tmp_path: Path) -> None:
    http = {"host": "https://registry.example.org:8443", "prefix": "/images/"}
    client = await start_with_rules(start_registry, tmp_path, http=http)
    found = await challenge(client, "/images/v2/", {"X-Forwarded-Host": "other.test"})
    assert found.startswith('Bearer realm="https://registry.example.org:8443/images/auth/token",')
    assert (await ask(client, "GET", "/images/auth/token")).status == 200


async def test_the_realm_keeps_the_path_of_the_host_as_locations_do(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    client = await start_with_rules(start_registry, tmp_path, http={"host": "https://example.org/registry/"})
    assert (await challenge(client, "/v2/", {})).startswith('Bearer realm="https://example.org/registry/auth/token",')


@pytest.mark.parametrize("rules", [None, [], ACCESS[:2], [{**ACCESS[2], "actions": []}]])
async def test_the_challenge_stays_basic_where_anonymous_callers_may_do_nothing(
    start_registry: StartRegistry, tmp_path: Path, rules: object
) -> None:
    write_htpasswd(tmp_path / "htpasswd", PASSWORDS)
    own = {} if rules is None else {"access": rules}
    client = await start_registry(auth=auth_section(tmp_path / "htpasswd"), pyregistry=own)
    for path in ["/v2/", "/v2/public/app/tags/list", "/nowhere", "/auth/token"]:
        assert await challenge(client, path) == 'Basic realm="Test Registry"'
    assert (await ask(client, "GET", "/v2/", CI)).status == 200


async def test_a_token_holds_what_was_asked_for_and_may_be_done(ruled: Client) -> None:
    asked = ["repository:ci/app:pull,push,delete repository:public/app:*", "repository:private:pull,push"]
    asked += ["registry:catalog:*", "repository:BAD:pull", "repository::pull", "nonsense", "", "registry:other:*"]
    asked += ["repository(plugin):ci/plugin:pull", "repository:ci/app:fly"]
    ci = claims_of(await token_for(ruled, CI, asked))
    assert ci["access"] == [
        {"type": "repository", "name": "ci/app", "actions": ["pull", "push"]},
        {"type": "repository", "name": "public/app", "actions": ["pull"]},
        {"type": "registry", "name": "catalog", "actions": ["*"]},
        {"type": "repository", "name": "ci/plugin", "actions": ["pull"]},
    ]
    assert ci["sub"] == "ci"
    assert ci["exp"] - ci["iat"] == 300
    anonymous = claims_of(await token_for(ruled, {}, asked[:1]))
    assert (anonymous["sub"], [item["name"] for item in anonymous["access"]]) == ("", ["public/app"])
    admin = claims_of(await token_for(ruled, ADMIN, ["repository:x:*"]))
    assert admin["access"] == [{"type": "repository", "name": "x", "actions": ["pull", "push", "delete"]}]


async def test_the_answer_has_what_docker_and_oauth2_read_and_is_kept_by_nobody(ruled: Client) -> None:
    answer = await ask(ruled, "GET", "/auth/token?scope=repository:ci/app:pull&account=ci&client_id=docker", CI)
    value = answer.json()
    assert value["token"] == value["access_token"]
    assert (value["token_type"], value["expires_in"], value["scope"]) == ("Bearer", 300, "repository:ci/app:pull")
    assert abs(time.mktime(time.strptime(value["issued_at"], "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(time.gmtime())) < 10
    assert answer.headers["Cache-Control"] == "no-store"
    assert "refresh_token" not in value


async def test_a_password_in_a_form_gets_a_token(ruled: Client) -> None:
    fields = {"grant_type": "password", "service": "x", "client_id": "containerd", "access_type": "offline"}
    user = {"username": "ci", "password": PASSWORDS["ci"]}
    answer = await post(ruled, **fields, **user, scope="repository:ci/app:pull,push repository:private:pull")
    assert answer.status == 200
    assert answer.json()["scope"] == "repository:ci/app:pull,push"
    token = bearer(answer.json()["access_token"])
    assert (await ask(ruled, "POST", "/v2/ci/app/blobs/uploads/", token)).status == 202
    for wrong in [{"password": "x"}, {"username": "nobody"}, {"username": ""}, {"password": "a\0b"}]:
        (await post(ruled, **fields, **{**user, **wrong})).assert_error(401, "UNAUTHORIZED")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "unsupported_grant_type"),
        (b"grant_type=refresh_token&refresh_token=x", "unsupported_grant_type"),
        (b"grant_type=password&grant_type=password&username=a&password=b", "unsupported_grant_type"),
        (b"grant_type=password", "invalid_request"),
        (b"grant_type=password&username=a", "invalid_request"),
        (b"grant_type=password&username=a&username=b&password=c", "invalid_request"),
    ],
)
async def test_a_form_of_another_kind_is_refused_in_the_words_of_oauth2(ruled: Client, body: bytes, error: str) -> None:
    answer = await ask(ruled, "POST", "/auth/token", {**_FORM, "Content-Length": str(len(body))}, body)
    assert (answer.status, answer.json()) == (400, {"error": error})


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b"a=%ff", b"x" * 103_000, b"&".join(b"a%d=b" % number for number in range(6_000))],
    ids=["bytes", "no UTF-8", "large", "many"],
)
async def test_a_body_that_is_no_form_is_400(ruled: Client, body: bytes) -> None:
    answer = await ask(ruled, "POST", "/auth/token", {**_FORM, "Content-Length": str(len(body))}, body)
    answer.assert_error(400, "UNSUPPORTED")


async def test_a_wrong_password_gets_no_token(ruled: Client) -> None:
    for headers in [basic("ci", "wrong"), basic("nobody", "x"), {"Authorization": "Basic !"}, bearer("x")]:
        answer = await ask(ruled, "GET", "/auth/token?scope=repository:public/x:pull", headers)
        answer.assert_error(401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="Test Registry"'


async def test_a_token_gives_nothing_that_the_rules_have_taken_away(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    path = tmp_path / "access.yml"
    path.write_text(json.dumps(ACCESS))
    client = await start_with_rules(start_registry, tmp_path, path)
    token = bearer(await token_for(client, CI, ["repository:ci/app:pull,push"]))
    assert (await ask(client, "POST", "/v2/ci/app/blobs/uploads/", token)).status == 202
    path.write_text(json.dumps([{**ACCESS[1], "actions": "pull"}, ACCESS[2]]))
    deadline = time.monotonic() + 5
    while (answer := await ask(client, "POST", "/v2/ci/app/blobs/uploads/", token)).status == 202:
        assert time.monotonic() < deadline
    answer.assert_error(403, "DENIED")


async def test_the_token_of_a_user_who_was_removed_is_out(start_registry: StartRegistry, tmp_path: Path) -> None:
    client = await start_with_rules(start_registry, tmp_path)
    token = bearer(await token_for(client, GUEST, []))
    assert (await ask(client, "GET", "/v2/", token)).status == 200
    write_htpasswd(tmp_path / "htpasswd", {"admin": PASSWORDS["admin"]})
    deadline = time.monotonic() + 5
    while (answer := await ask(client, "GET", "/v2/", token)).status == 200:
        assert time.monotonic() < deadline
    answer.assert_error(401, "UNAUTHORIZED")


async def test_a_token_ends_with_the_password_that_it_was_made_for(
    start_registry: StartRegistry, tmp_path: Path
) -> None:
    client = await start_with_rules(start_registry, tmp_path)
    token = bearer(await token_for(client, GUEST, []))
    assert (await ask(client, "GET", "/v2/", token)).status == 200
    write_htpasswd(tmp_path / "htpasswd", {**PASSWORDS, "guest": "quite another"})
    deadline = time.monotonic() + 5
    while (answer := await ask(client, "GET", "/v2/", token)).status == 200:
        assert time.monotonic() < deadline
    answer.assert_error(401, "UNAUTHORIZED")


async def test_a_blob_for_a_user_is_kept_by_no_shared_cache(ruled: Client) -> None:
    blob = b"of the user"
    token = bearer(await token_for(ruled, CI, ["repository:ci/app:pull,push"]))
    path = f"/v2/ci/app/blobs/uploads/?digest={digest_of(blob)}"
    assert (await ask(ruled, "POST", path, token, blob)).status == 201
    for method in ("GET", "HEAD", "HEAD"):  # the last one is answered from memory
        answer = await ask(ruled, method, f"/v2/ci/app/blobs/{digest_of(blob)}", token)
        assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"


async def test_the_keys_are_for_nobody_else_to_read(ruled: Client, tmp_path: Path) -> None:
    await token_for(ruled, {}, [])
    assert (tmp_path / "data/.pyregistry/token-keys").stat().st_mode & 0o777 == 0o600
    assert len(keys_in(tmp_path)) == 1


async def test_nothing_of_a_token_or_a_password_gets_into_any_log(
    ruled: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    token = await token_for(ruled, CI, ["repository:ci/app:pull"])
    forged = token[:-6] + "forged"
    for shown in [token, forged]:
        for path in ["/v2/", "/v2/ci/app/tags/list", f"/nowhere?token={shown}"]:
            await ask(ruled, "GET", path, bearer(shown))
    await post(ruled, grant_type="password", username="ci", password=PASSWORDS["ci"])
    await post(ruled, grant_type="password", username="ci", password="Wrong-Battery-1234")
    assert isinstance(ruled.server, RegistryServer)
    access_log = ruled.server.access_log.getvalue().decode()
    assert "/auth/token" in access_log
    secrets = [*token.split("."), forged[-12:], PASSWORDS["ci"], "Wrong-Battery-1234", CI["Authorization"][6:]]
    for text in [access_log, *(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)]:
        assert not [secret for secret in secrets if secret in text]
