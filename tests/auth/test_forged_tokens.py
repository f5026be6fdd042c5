"""Tokens that we did not sign: none is accepted, and none makes an error."""

import asyncio
import base64
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyregistry.auth.access import Access, Action, Principal
from pyregistry.auth.keys import KeyRing
from pyregistry.auth.policy import Policy
from pyregistry.auth.policy_file import CurrentPolicy
from pyregistry.auth.tokens import SERVICE, TokenService
from pyregistry.oci.errors import Unauthorized
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams import layout
from tests.auth.rules import ADMIN, bearer, start_with_rules, token_for
from tests.auth.test_tokens import claims_of, keys_in
from tests.conftest import StartRegistry
from tests.push import Client
from tests.raw import ask
from tests.storage.pushing import secret_on

_SCOPE = "repository:private:pull,push,delete"


@pytest.fixture
async def ruled(start_registry: StartRegistry, tmp_path: Path) -> Client:
    client = await start_with_rules(start_registry, tmp_path)
    await token_for(client, {}, [])
    return client


def _encode(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _forged(claims: dict[str, Any], key_id: str, secret: bytes) -> dict[str, str]:
    """Tokens of a forger who knows all but the secret; and, with it, tokens that we would not make."""
    other = b"x" * 32
    header = {"typ": "JWT", "alg": "HS256", "kid": key_id}

    def signed(changes: dict[str, Any], key: bytes = secret, **headers: Any) -> str:
        values = {name: value for name, value in {**claims, **changes}.items() if value is not ...}
        return jwt.encode(values, key, "HS256", {"kid": key_id, **headers})

    good = signed({})
    head, body, signature = good.split(".")
    now = int(time.time())

    def signed_with(algorithm: str) -> str:
        # Made by hand: the library finds the secret too short.
        text = f"{_encode({**header, 'alg': algorithm})}.{body}"
        made = jwt.get_algorithm_by_name(algorithm).sign(text.encode(), secret)
        return f"{text}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"

    return {
        "another key": signed({}, other),
        "another key's id": signed({}, kid="0123456789abcdef"),
        "no key's id": f"{_encode({'alg': 'HS256'})}.{body}.{signature}",
        "a number for the key's id": f"{_encode({**header, 'kid': 7})}.{body}.{signature}",
        "a list for the key's id": f"{_encode({**header, 'kid': []})}.{body}.{signature}",
        "alg none": f"{_encode({**header, 'alg': 'none'})}.{body}.",
        "alg None": f"{_encode({**header, 'alg': 'None'})}.{body}.",
        "alg none, with the signature": f"{_encode({**header, 'alg': 'none'})}.{body}.{signature}",
        "no alg": f"{_encode({'kid': key_id})}.{body}.{signature}",
        "HS384 with our key": signed_with("HS384"),
        "HS512 with our key": signed_with("HS512"),
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{signature}",
        "another body": f"{head}.{_encode({**claims, 'sub': 'admin', 'jti': '1'})}.{signature}",
        "a header more": f"{_encode({**header, 'x': 1})}.{body}.{signature}",
        "expired": signed({"exp": now - 1}),
        "never expires": signed({"exp": ...}),
        "expires at a word": signed({"exp": "later"}),
        "expires at infinity": signed({"exp": float("inf")}),
        "for another service": signed({"aud": "other"}),
        "for no service": signed({"aud": ...}),
        "of another issuer": signed({"iss": "other"}),
        "of no issuer": signed({"iss": ...}),
        "of nobody": signed({"sub": ...}),
        "of a number": signed({"sub": 1}),
        "of a list": signed({"sub": ["admin"]}),
        "of a user that there is not": signed({"sub": "mallory"}),
        "without access": signed({"access": ...}),
        "access is a word": signed({"access": "all"}),
        "access is a map": signed({"access": {"type": "repository"}}),
        "an access of numbers": signed({"access": [{"type": "repository", "name": "private", "actions": [1]}]}),
        "not to be used yet": signed({"nbf": now + 3600}),
        "a critical header": signed({}, crit=["x"], x=1),
        "empty": "",
        "dots": "..",
        "spaces": "a b c",
        "8,000 bytes": "A" * 8_000,
        "deep": f"{base64.urlsafe_b64encode(b'[' * 3000).decode()}.{body}.{signature}",
    }


async def test_a_token_that_we_would_not_make_is_401_with_a_fresh_challenge(ruled: Client, tmp_path: Path) -> None:
    token = await token_for(ruled, ADMIN, [_SCOPE])
    assert (await ask(ruled, "GET", "/v2/", bearer(token))).status == 200
    [key] = keys_in(tmp_path)
    forged = _forged(claims_of(token), key["id"], base64.b64decode(key["secret"]))
    for case, text in forged.items():
        for path in ["/v2/", "/v2/private/tags/list", "/v2/public/app/tags/list"]:
            answer = await ask(ruled, "GET", path, bearer(text))
            assert answer.status == 401, case
            entry = answer.assert_error(401, "UNAUTHORIZED")
            assert entry["message"] == "authentication required"
            assert answer.headers["WWW-Authenticate"].startswith("Bearer realm="), case
            assert answer.headers["WWW-Authenticate"].endswith('error="invalid_token"'), case


async def test_a_token_without_a_scope_is_good_for_the_base_alone(ruled: Client) -> None:
    token = bearer(await token_for(ruled, ADMIN, []))
    assert (await ask(ruled, "GET", "/v2/", token)).status == 200
    for path in ["/v2/private/tags/list", "/v2/public/app/tags/list", "/v2/_catalog"]:
        answer = await ask(ruled, "GET", path, token)
        answer.assert_error(401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"].endswith('error="insufficient_scope"')


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer a, Bearer b", "Negotiate abc", "bearer x", "Token x", "\xff\xfe", "Basic", ""],
)
async def test_whatever_else_stands_in_the_header_is_401(ruled: Client, header: str) -> None:
    answer = await ask(ruled, "GET", "/v2/public/app/tags/list", {"Authorization": header})
    answer.assert_error(401, "UNAUTHORIZED")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer realm=")


class _Everybody:
    """Knows every user, so that nothing but the token decides."""

    async def verify(self, user: str, password: bytes, address: str) -> Principal:
        return Principal(user)

    def stamp(self, user: str) -> str | None:
        return "a stamp"


def _service() -> TokenService:
    policy = Policy.parse([{"repositories": "**", "who": "everyone", "actions": "pull"}], {})
    keys = KeyRing(secret_on(MemoryDriver(), layout.TOKEN_KEYS))
    return TokenService(_Everybody(), "realm", keys, CurrentPolicy(policy))


async def _good(service: TokenService) -> str:
    access = Access(Action.PULL, RepositoryName("team/app"))
    return (await service.issue(await service.sign_in("alice", b"x", ""), [access])).token


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_HEADERS = st.fixed_dictionaries(
    {"alg": st.sampled_from(["HS256", "none", "HS512", "RS256", "ES256", "", None, 1])},
    optional={"kid": st.just("KID") | _JSON, "typ": _JSON, "crit": _JSON, "jwk": _JSON, "x5c": _JSON, "b64": _JSON},
)
_CLAIMS = st.fixed_dictionaries(
    {"iss": st.just(SERVICE), "aud": st.just(SERVICE), "exp": st.just(2**40), "sub": st.just("admin"), "access": _JSON},
    optional={"nbf": _JSON, "iat": _JSON, "jti": _JSON},
)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]{0,60}\.[A-Za-z0-9_-]{0,60}\.[A-Za-z0-9_-]{0,60}"))
@example("..")
@example("e30.e30.")
def test_no_text_is_a_token(text: str) -> None:
    async def check() -> None:
        with pytest.raises(Unauthorized):
            await _service().authenticate(text)

    asyncio.run(check())


@settings(max_examples=300, deadline=None)
@given(_HEADERS, _CLAIMS, st.binary(max_size=70))
def test_no_header_and_claims_are_a_token_without_our_signature(
    header: dict[str, Any], claims: dict[str, Any], signature: bytes
) -> None:
    async def check() -> None:
        service = _service()
        key_id = jwt.get_unverified_header(await _good(service))["kid"]
        named = {**header, **({"kid": key_id} if header.get("kid") == "KID" else {})}
        tail = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
        with pytest.raises(Unauthorized):
            await service.authenticate(f"{_encode(named)}.{_encode(claims)}.{tail}")

    asyncio.run(check())


@settings(max_examples=300, deadline=None)
@given(st.integers(min_value=0), st.integers(min_value=1, max_value=127))
def test_no_change_of_a_character_leaves_a_token_valid_for_anything_else(place: int, change: int) -> None:
    async def check() -> None:
        service = _service()
        good = await _good(service)
        at = place % len(good)
        changed = good[:at] + chr(ord(good[at]) ^ change) + good[at + 1 :]
        try:
            principal = await service.authenticate(changed)
        except Unauthorized:
            return
        # The last character of base64 has bits that mean nothing: the bytes are then those that we signed.
        assert principal == await service.authenticate(good)
        assert at == len(good) - 1

    asyncio.run(check())
