"""`auth.token`: tokens of an external server, each case also put to a CNCF registry with the same keys."""

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from pyregistry.auth.trusted_keys import libtrust_id, thumbprint
from tests.conftest import StartRegistry
from tests.processes import Server, cncf_server
from tests.push import Client
from tests.raw import ask
from tests.workers.http import ask as ask_server

ISSUER, SERVICE, REALM = "Test tokens", "registry.test", "https://auth.test/token"
_DAY = timedelta(days=1)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def certificate(
    key: PrivateKey, signer: PrivateKey, subject: str, issuer: str, ends: timedelta = _DAY, authority: bool = False
) -> x509.Certificate:
    """Of `subject` by `issuer`, from yesterday on."""
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(names[1], names[0], key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - 2 * _DAY).not_valid_after(now + ends)
    builder = builder.add_extension(x509.BasicConstraints(authority, None), critical=True)
    return builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256())


@dataclass(frozen=True)
class Keys:
    """What a token server has, and what the registry knows of it."""

    root: PrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    leaf: PrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    numbers: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    p384: PrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP384R1()))
    edwards: PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)
    stranger: PrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def bundle(self) -> bytes:
        """PEM: a root, and an RSA key's own certificate."""
        return b"".join(cert.public_bytes(Encoding.PEM) for cert in (self.root_certificate, self.own_certificate))

    @cached_property
    def root_certificate(self) -> x509.Certificate:
        return certificate(self.root, self.root, "root", "root", authority=True)

    @cached_property
    def own_certificate(self) -> x509.Certificate:
        return certificate(self.numbers, self.numbers, "rsa", "rsa")

    def jwks(self) -> bytes:
        """Two public keys under names of their own, and a secret that must never do."""
        p384 = jwt.get_algorithm_by_name("ES384").to_jwk(self.p384.public_key(), as_dict=True)
        edwards = jwt.get_algorithm_by_name("EdDSA").to_jwk(self.edwards.public_key(), as_dict=True)
        secret = {"kty": "oct", "kid": "secret", "k": base64.urlsafe_b64encode(b"s" * 64).decode().rstrip("=")}
        return json.dumps({"keys": [{**p384, "kid": "p384"}, {**edwards, "kid": "ed"}, secret]}).encode()


def chain(*certificates: x509.Certificate) -> dict[str, list[str]]:
    """The header `x5c`."""
    return {"x5c": [base64.b64encode(cert.public_bytes(Encoding.DER)).decode() for cert in certificates]}


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    access = [{"type": "repository", "name": "team/app", "actions": ["pull", "push"]}]
    values = {"iss": ISSUER, "aud": SERVICE, "sub": "alice", "exp": now + 300, "nbf": now - 5, "iat": now, "jti": "1"}
    return {name: value for name, value in {**values, "access": access, **changes}.items() if value is not ...}


def good_tokens(keys: Keys) -> dict[str, str]:
    """By every way of naming a key, and with all that clocks and claims may be."""
    between = ec.generate_private_key(ec.SECP256R1())
    of_leaf = certificate(keys.leaf, keys.root, "leaf", "root")
    of_between = certificate(between, keys.root, "between", "root", authority=True)
    below = certificate(keys.leaf, between, "below", "between")
    public = keys.numbers.public_key()
    rsa_id, root_id = thumbprint(public), thumbprint(keys.root.public_key())
    now = int(time.time())
    leaf = chain(of_leaf)
    return {
        "a chain of one": jwt.encode(claims(), keys.leaf, "ES256", leaf),
        "a chain of two": jwt.encode(claims(), keys.leaf, "ES256", chain(below, of_between)),
        "a chain with the root": jwt.encode(claims(), keys.leaf, "ES256", chain(of_leaf, keys.root_certificate)),
        "a root's own certificate": jwt.encode(claims(), keys.numbers, "RS256", chain(keys.own_certificate)),
        "a root's key id of registry 2": jwt.encode(claims(), keys.numbers, "RS256", {"kid": libtrust_id(public)}),
        "a root's thumbprint": jwt.encode(claims(), keys.root, "ES256", {"kid": root_id}),
        "a thumbprint, RS256": jwt.encode(claims(), keys.numbers, "RS256", {"kid": rsa_id}),
        "a thumbprint, PS512": jwt.encode(claims(), keys.numbers, "PS512", {"kid": rsa_id}),
        "a key of the set": jwt.encode(claims(), keys.p384, "ES384", {"kid": "p384"}),
        "an Edwards key of the set": jwt.encode(claims(), keys.edwards, "EdDSA", {"kid": "ed"}),
        "a list of services": jwt.encode(claims(aud=["other", SERVICE]), keys.leaf, "ES256", leaf),
        "just expired": jwt.encode(claims(exp=now - 30), keys.leaf, "ES256", leaf),
        "in a moment": jwt.encode(claims(nbf=now + 30), keys.leaf, "ES256", leaf),
        "no times but the end": jwt.encode(claims(nbf=..., iat=...), keys.leaf, "ES256", leaf),
        "all actions": jwt.encode(
            claims(access=[{"type": "repository", "name": "team/app", "actions": ["*"]}]), keys.leaf, "ES256", leaf
        ),
    }


OF_REGISTRY_3 = {
    *("a root's thumbprint", "a thumbprint, RS256", "a thumbprint, PS512"),
    *("a key of the set", "an Edwards key of the set", "a list of services"),
}
"""What registry 2 does not know yet."""


def bad_tokens(keys: Keys) -> dict[str, str]:
    """Expired, forged, of another issuer or for another service."""
    of_leaf = certificate(keys.leaf, keys.root, "leaf", "root")
    of_stranger = certificate(keys.leaf, keys.stranger, "leaf", "root")
    old = certificate(keys.leaf, keys.root, "leaf", "root", ends=-_DAY)
    from_leaf = certificate(keys.stranger, keys.leaf, "below", "leaf")
    leaf, rsa_id = chain(of_leaf), thumbprint(keys.numbers.public_key())
    now = int(time.time())
    public = keys.numbers.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, body, signature = good_tokens(keys)["a chain of one"].split(".")

    def unsigned(algorithm: str, **header: Any) -> str:
        text = json.dumps({"typ": "JWT", "alg": algorithm, **header}).encode()
        return f"{base64.urlsafe_b64encode(text).decode().rstrip('=')}.{body}."

    def confused(secret: bytes, key_id: str) -> str:
        # Made by hand: the library refuses to take a public key for a secret.
        signer = jwt.get_algorithm_by_name("HS256")
        text = unsigned("HS256", kid=key_id).rstrip(".")
        made = base64.urlsafe_b64encode(signer.sign(text.encode(), secret)).decode().rstrip("=")
        return f"{text}.{made}"

    return {
        "expired": jwt.encode(claims(exp=now - 90), keys.leaf, "ES256", leaf),
        "without an end": jwt.encode(claims(exp=...), keys.leaf, "ES256", leaf),
        "not yet": jwt.encode(claims(nbf=now + 90), keys.leaf, "ES256", leaf),
        "another issuer": jwt.encode(claims(iss="other"), keys.leaf, "ES256", leaf),
        "no issuer": jwt.encode(claims(iss=...), keys.leaf, "ES256", leaf),
        "another service": jwt.encode(claims(aud="other"), keys.leaf, "ES256", leaf),
        "no service": jwt.encode(claims(aud=...), keys.leaf, "ES256", leaf),
        "a stranger's chain": jwt.encode(claims(), keys.leaf, "ES256", chain(of_stranger)),
        "a chain that is over": jwt.encode(claims(), keys.leaf, "ES256", chain(old)),
        "a chain through a leaf": jwt.encode(claims(), keys.stranger, "ES256", chain(from_leaf, of_leaf)),
        "a chain of another key": jwt.encode(claims(), keys.stranger, "ES256", leaf),
        "a chain of nothing": jwt.encode(claims(), keys.leaf, "ES256", {"x5c": ["AAAA"]}),
        "a word for a chain": jwt.encode(claims(), keys.leaf, "ES256", {"x5c": "AAAA"}),
        "an unknown key": jwt.encode(claims(), keys.leaf, "ES256", {"kid": "other"}),
        "no key at all": jwt.encode(claims(), keys.leaf, "ES256"),
        "its own key": jwt.encode(
            claims(),
            keys.stranger,
            "ES256",
            {"jwk": jwt.get_algorithm_by_name("ES256").to_jwk(keys.stranger.public_key(), as_dict=True)},
        ),
        "the secret of the set": jwt.encode(claims(), b"s" * 64, "HS256", {"kid": "secret"}),
        "alg none": unsigned("none", kid=rsa_id),
        "alg none with a chain": unsigned("none", **leaf),
        "HS256 with the public key": confused(public, rsa_id),
        "another signature": f"{head}.{body}.{signature[:-4]}AAAA",
        "an access that is a word": jwt.encode(claims(access="all"), keys.leaf, "ES256", leaf),
        "dots": "..",
        "nothing of a token": "abc",
    }


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys()


def section(directory: Path, keys: Keys, **more: Any) -> dict[str, Any]:
    """`auth.token` of the config, with its files."""
    (directory / "bundle.pem").write_bytes(keys.bundle())
    (directory / "jwks.json").write_bytes(keys.jwks())
    files = {"rootcertbundle": str(directory / "bundle.pem"), "jwks": str(directory / "jwks.json")}
    return {"token": {"realm": REALM, "service": SERVICE, "issuer": ISSUER, **files, **more}}


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
