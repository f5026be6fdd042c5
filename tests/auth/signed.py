"""An external token server's keys, the tokens that it signs, and those that others might try."""

import base64
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from pyregistry.auth.trusted_keys import libtrust_id, thumbprint

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
    """The keys of a token server, and what the registry knows of them."""

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
"""Tokens that registry 2 does not know yet."""


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


def section(directory: Path, keys: Keys, **more: Any) -> dict[str, Any]:
    """`auth.token` of the config, with its files."""
    (directory / "bundle.pem").write_bytes(keys.bundle())
    (directory / "jwks.json").write_bytes(keys.jwks())
    files = {"rootcertbundle": str(directory / "bundle.pem"), "jwks": str(directory / "jwks.json")}
    return {"token": {"realm": REALM, "service": SERVICE, "issuer": ISSUER, **files, **more}}
