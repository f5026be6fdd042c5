"""`auth.token`: tokens of an external server, each case also put to a CNCF registry with the same keys."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from jwt.api_jws import PyJWS

from pyregistry.auth.trusted_keys import KeyFiles, libtrust_id, thumbprint
from tests.auth.signed import (
    OF_REGISTRY_3,
    REALM,
    SERVICE,
    Keys,
    bad_tokens,
    certificate,
    chain,
    claims,
    good_tokens,
    section,
)
from tests.conftest import StartRegistry
from tests.processes import Server, cncf_server, forked_server
from tests.push import Client
from tests.raw import ask, connected
from tests.workers.http import ask as ask_server


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys()


@pytest.fixture
async def registry(start_registry: StartRegistry, tmp_path: Path, keys: Keys) -> Client:
    return await start_registry(auth=section(tmp_path, keys))


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Server]:
    """The CNCF registry 2.8 with the same certificates."""
    directory = tmp_path_factory.mktemp("upstream")
    with cncf_server(directory, auth=section(directory, keys)) as server:
        yield server


async def status(client: Client, token: str, method: str = "POST", path: str = "/v2/team/app/blobs/uploads/") -> int:
    return (await ask(client, method, path, {"Authorization": f"Bearer {token}"})).status


def upstream_status(server: Server, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return ask_server(server, "POST", "/v2/team/app/blobs/uploads/", None, headers).status


async def test_a_token_of_the_server_lets_in(registry: Client, keys: Keys) -> None:
    found = {case: await status(registry, token) for case, token in good_tokens(keys).items()}
    assert found == dict.fromkeys(found, 202)


async def test_any_other_token_is_401_with_the_servers_challenge(registry: Client, keys: Keys) -> None:
    for case, token in bad_tokens(keys).items():
        answer = await ask(registry, "GET", "/v2/team/app/tags/list", {"Authorization": f"Bearer {token}"})
        assert answer.status == 401, case
        answer.assert_error(401, "UNAUTHORIZED")
        begin = f'Bearer realm="{REALM}",service="{SERVICE}",scope="repository:team/app:pull"'
        assert answer.headers["WWW-Authenticate"] == f'{begin},error="invalid_token"', case


def test_the_cncf_registry_takes_and_refuses_the_same_tokens(upstream: Server, keys: Keys) -> None:
    taken = {case: upstream_status(upstream, token) for case, token in good_tokens(keys).items()}
    assert taken == {case: 401 if case in OF_REGISTRY_3 else 202 for case in taken}
    refused = {case: upstream_status(upstream, token) for case, token in bad_tokens(keys).items()}
    assert refused == dict.fromkeys(refused, 401)


def test_a_libtrust_id_is_twelve_groups_of_four_from_base32(keys: Keys) -> None:
    groups = libtrust_id(keys.numbers.public_key()).split(":")
    assert [len(group) for group in groups] == [4] * 12


def test_a_thumbprint_is_that_of_rfc_7638() -> None:
    key = jwt.PyJWK(
        {
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebW"
            "KRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQM"
            "icAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcR"
            "wr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB",
        },
        algorithm="RS256",
    ).key
    assert thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


async def test_without_a_token_the_challenge_names_the_server_and_the_scope(registry: Client) -> None:
    begin = f'Bearer realm="{REALM}",service="{SERVICE}"'
    for method, path, scope in [
        ("GET", "/v2/", ""),
        ("GET", "/v2/_catalog", ',scope="registry:catalog:*"'),
        ("GET", "/v2/team/app/tags/list", ',scope="repository:team/app:pull"'),
        ("PUT", "/v2/team/app/manifests/x", ',scope="repository:team/app:pull,push"'),
        ("DELETE", "/v2/team/app/manifests/x", ',scope="repository:team/app:delete"'),
        ("GET", "/auth/token", ""),
    ]:
        answer = await ask(registry, method, path)
        answer.assert_error(401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"] == begin + scope


async def test_a_token_is_good_for_its_repository_and_actions_alone(registry: Client, keys: Keys) -> None:
    read = [{"type": "repository", "name": "team/app", "actions": ["pull"]}]
    token = jwt.encode(claims(access=read), keys.numbers, "RS256", {"kid": thumbprint(keys.numbers.public_key())})
    assert await status(registry, token, "GET", "/v2/") == 200
    assert await status(registry, token, "GET", "/v2/team/app/tags/list") == 404
    for method, path in [
        ("POST", "/v2/team/app/blobs/uploads/"),
        ("DELETE", "/v2/team/app/manifests/x"),
        ("GET", "/v2/team/other/tags/list"),
        ("GET", "/v2/_catalog"),
    ]:
        answer = await ask(registry, method, path, {"Authorization": f"Bearer {token}"})
        answer.assert_error(401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"].endswith('error="insufficient_scope"')


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": None},
        {"access": [{"type": "repository", "name": "team/app", "actions": None}, *claims()["access"]]},
        {"access": [{"type": "repository", "name": "team/app"}, *claims()["access"]]},
        {"access": [{"type": "repository", "actions": ["pull"]}, *claims()["access"]]},
        {"access": [{"name": "team/app", "actions": ["pull"]}, *claims()["access"]]},
        {"access": [{"type": None, "name": None, "actions": None, "class": None}, *claims()["access"]]},
    ],
)
async def test_what_a_token_leaves_out_gives_nothing_and_spoils_nothing(
    registry: Client, upstream: Server, keys: Keys, changes: dict[str, Any]
) -> None:
    payload = json.dumps({**claims(), **changes}).encode()
    token = PyJWS().encode(payload, keys.numbers, "RS256", {"kid": libtrust_id(keys.numbers.public_key())})
    assert upstream_status(upstream, token) == 202
    assert await status(registry, token) == 202


async def test_a_bearer_token_that_a_proxy_repeats_counts_once(registry: Client, keys: Keys) -> None:
    one, other = (f"Authorization: Bearer {token}\r\n" for token in list(good_tokens(keys).values())[:2])
    for lines, expected in ((one + one, 200), (one + other, 401)):
        async with connected(registry) as connection:
            await connection.send(f"GET /v2/ HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
            assert (await connection.answer()).status == expected


async def test_only_the_algorithms_of_the_config_are_taken(
    start_registry: StartRegistry, tmp_path: Path, keys: Keys
) -> None:
    client = await start_registry(auth=section(tmp_path, keys, signingalgorithms=["RS256"]))
    good = good_tokens(keys)
    assert await status(client, good["a thumbprint, RS256"]) == 202
    assert await status(client, good["a thumbprint, PS512"]) == 401
    assert await status(client, good["a chain of one"]) == 401


@pytest.mark.parametrize(
    ("more", "headers", "realm"),
    [
        ({"autoredirect": True}, {}, "https://a.test/auth/token"),
        ({"autoredirect": True}, {"X-Forwarded-Proto": "http"}, "http://a.test/auth/token"),
        ({"autoredirect": True, "autoredirectpath": "/t"}, {}, "https://a.test/t"),
        ({"autoredirectpath": "/t"}, {}, REALM),
    ],
)
async def test_the_realm_is_on_this_host_where_the_config_says_so(
    start_registry: StartRegistry,
    tmp_path: Path,
    keys: Keys,
    more: dict[str, Any],
    headers: dict[str, str],
    realm: str,
) -> None:
    client = await start_registry(auth=section(tmp_path, keys, **more))
    answer = await ask(client, "GET", "/v2/", {"Host": "a.test", **headers})
    assert answer.headers["WWW-Authenticate"] == f'Bearer realm="{realm}",service="{SERVICE}"'


async def test_rules_apply_to_the_users_of_an_external_server_too(
    start_registry: StartRegistry, tmp_path: Path, keys: Keys
) -> None:
    rules = [{"repositories": "team/**", "who": "alice", "actions": ["pull", "push"]}]
    client = await start_registry(auth=section(tmp_path, keys), pyregistry={"access": rules})
    header = chain(certificate(keys.leaf, keys.root, "leaf", "root"))
    assert await status(client, jwt.encode(claims(), keys.leaf, "ES256", header)) == 202
    assert await status(client, jwt.encode(claims(sub="bob"), keys.leaf, "ES256", header)) == 403
    assert await status(client, jwt.encode(claims(sub=""), keys.leaf, "ES256", header)) == 401


def test_the_metrics_are_for_whoever_has_a_token(tmp_path: Path, keys: Keys) -> None:
    token = next(iter(good_tokens(keys).values()))
    with forked_server(tmp_path, auth=section(tmp_path, keys), pyregistry={"metrics": True}) as server:
        assert ask_server(server, "GET", "/metrics").status == 401
        answer = ask_server(server, "GET", "/metrics", None, {"Authorization": f"Bearer {token}"})
    assert (answer.status, b"registry_http_requests_total" in answer.body) == (200, True)


async def _until(client: Client, token: str, wanted: int) -> None:
    async with asyncio.timeout(20):
        while await status(client, token) != wanted:
            await asyncio.sleep(0.02)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyregistry.common.reloaded_files.POLL_SECONDS", 0.03)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("file", "case"),
    [
        ("jwks.json", "a key of the set"),
        ("bundle.pem", "a chain of one"),
        ("bundle.pem", "a root's thumbprint"),
    ],
)
async def test_a_key_that_is_taken_out_or_added_counts_without_a_signal(
    registry: Client, tmp_path: Path, keys: Keys, file: str, case: str
) -> None:
    """Also for a token that was verified, and is remembered, with the key that is gone."""
    before, other = (tmp_path / file).read_bytes(), Keys()
    token, new_token = good_tokens(keys)[case], good_tokens(other)[case]
    assert (await status(registry, token), await status(registry, new_token)) == (202, 401)
    (tmp_path / file).write_bytes(other.jwks() if file == "jwks.json" else other.bundle())
    await _until(registry, new_token, 202)
    assert await status(registry, token) == 401
    (tmp_path / file).write_bytes(before)
    await _until(registry, token, 202)
    assert await status(registry, new_token) == 401


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("content", [b"<html>404</html>", b'{"keys": 5}', None], ids=["HTML", "no keys", "missing"])
@pytest.mark.parametrize(("file", "case"), [("jwks.json", "a key of the set"), ("bundle.pem", "a chain of one")])
async def test_files_of_keys_that_cannot_be_used_leave_the_last_good_ones_in_force(
    registry: Client,
    tmp_path: Path,
    keys: Keys,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    case: str,
    content: bytes | None,
) -> None:
    monkeypatch.setattr("pyregistry.common.reloaded_files.KEPT_CHECKS", 1)  # what would be given up is given up at once
    token = good_tokens(keys)[case]
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_bytes(content)
    async with asyncio.timeout(20):
        while "keys of auth.token not usable, the last valid ones stay active" not in caplog.text:
            await asyncio.sleep(0.02)
    assert f"auth.token.{'jwks' if file == 'jwks.json' else 'rootcertbundle'}: {tmp_path / file}: " in caplog.text
    await asyncio.sleep(0.2)
    assert await status(registry, token) == 202
    section(tmp_path, Keys())  # other files in their places
    await _until(registry, token, 401)


def test_the_log_counts_each_certificate_and_each_key_once(tmp_path: Path, keys: Keys) -> None:
    section(tmp_path, keys)
    files = KeyFiles(tmp_path / "bundle.pem", tmp_path / "jwks.json")
    assert len(files.keys(files.read())) == 4


async def test_keys_may_come_through_a_pipe_which_is_read_once(
    start_registry: StartRegistry, tmp_path: Path, keys: Keys, caplog: pytest.LogCaptureFixture, quick: None
) -> None:
    auth, pipe = section(tmp_path, keys), tmp_path / "pipe"
    os.mkfifo(pipe)
    auth["token"]["jwks"] = str(pipe)
    writing = threading.Thread(target=pipe.write_bytes, args=(keys.jwks(),), daemon=True)
    writing.start()
    client = await start_registry(auth=auth)
    writing.join(20)
    await asyncio.sleep(0.3)
    assert await status(client, good_tokens(keys)["a key of the set"]) == 202
    assert "not usable" not in caplog.text
