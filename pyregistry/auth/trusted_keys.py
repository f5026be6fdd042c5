"""The public keys of a token server: from certificates, or from a JWKS."""

import base64
import json
import stat
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import verification

from pyregistry.common.opener import read_file, stat_file

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
ALGORITHMS = frozenset(
    {"EdDSA", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512"}
    | {"ES256", "ES384", "ES512", "PS256", "PS384", "PS512"}
)
"""Valid values of `signingalgorithms`. The HMACs among them never match: all keys here are public ones."""
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class KeysInvalid(Exception):
    """The files of `auth.token` are unusable; the text begins with the key of the config."""


def algorithms_of(key: PublicKey) -> frozenset[str]:
    """Return the algorithms that a key of this kind verifies."""
    if isinstance(key, rsa.RSAPublicKey):
        return frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
    if isinstance(key, ec.EllipticCurvePublicKey):
        return frozenset({_CURVES[key.curve.name]})
    return frozenset({"EdDSA"})


class KeyFiles:
    """The files of `auth.token`; at least one is required."""

    def __init__(self, root_cert_bundle: Path | None, jwks: Path | None) -> None:
        named = {"rootcertbundle": root_cert_bundle, "jwks": jwks}
        self._paths = {key: path for key, path in named.items() if path is not None}
        self._pipes: dict[str, bytes] | None = None
        """Contents of FIFOs, which can be read only once; None before the first read."""

    @property
    def paths(self) -> list[Path]:
        """Paths of the configured files."""
        return list(self._paths.values())

    def read(self) -> list[bytes]:
        """Return the contents of `paths`; of FIFOs that of the first read, which waits for it. Blocks.

        Raises KeysInvalid.
        """
        is_first = self._pipes is None
        self._pipes = self._pipes or {}
        return [self._read(key, path, self._pipes, is_first=is_first) for key, path in self._paths.items()]

    def keys(self, contents: Sequence[bytes]) -> "TrustedKeys":
        """Return the keys in the result of `read`; raise KeysInvalid."""
        roots, by_id = list[x509.Certificate](), dict[str, PublicKey]()
        for (key, path), content in zip(self._paths.items(), contents, strict=True):
            if key == "jwks":
                by_id = _keys_of_jwks(content, path)
            else:
                roots = _roots_of(content, path)
        return TrustedKeys(roots, by_id)

    @staticmethod
    def _read(key: str, path: Path, pipes: dict[str, bytes], *, is_first: bool) -> bytes:
        try:
            if stat.S_ISREG(stat_file(path).st_mode):
                return read_file(path)
            if is_first:
                pipes[key] = read_file(path)
        except OSError as error:
            raise KeysInvalid(f"auth.token.{key}: {path}: {error.strerror}") from error
        if key not in pipes:
            raise KeysInvalid(f"auth.token.{key}: {path}: not a regular file")
        return pipes[key]


class TrustedKeys:
    """Public keys by id, and roots of certificate chains."""

    def __init__(self, roots: list[x509.Certificate], by_id: Mapping[str, PublicKey]) -> None:
        """Make the set; raise KeysInvalid if it is empty."""
        self._roots = roots
        self._count = len(roots) + len(by_id)
        self._by_id: dict[str, PublicKey] = {}
        for root in roots:
            key = root.public_key()
            if _is_supported(key):
                self._by_id |= {libtrust_id(key): key, thumbprint(key): key}
        self._by_id |= by_id
        if not roots and not self._by_id:
            raise KeysInvalid("auth.token: neither rootcertbundle nor jwks has a key")

    def __len__(self) -> int:
        """Return the number of certificates and of keys of the set."""
        return self._count

    def find(self, header: Mapping[str, Any]) -> PublicKey:
        """Return the key that must have signed a token with this header; raise ValueError, KeyError and the like."""
        jwk = header.get("jwk", {})
        chain = header.get("x5c") or jwk.get("x5c")
        if chain:
            return self._verify([x509.load_der_x509_certificate(base64.b64decode(text)) for text in chain])
        key_id: str = jwk["kid"] if jwk else header["kid"]
        return self._by_id[key_id]

    def _verify(self, chain: list[x509.Certificate]) -> PublicKey:
        leaf, *between = chain
        key = leaf.public_key()
        if not _is_supported(key):
            raise ValueError("a key of another kind")
        now = datetime.now(UTC)
        if leaf in self._roots:  # signed with the root's own key, as small token servers do
            if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
                raise ValueError("expired")
            return key
        # A certificate for tokens is not one for the web: it may lack a host name and a purpose.
        anything = verification.ExtensionPolicy.permit_all()
        authority = anything.require_present(x509.BasicConstraints, verification.Criticality.AGNOSTIC, None)
        builder = verification.PolicyBuilder().store(verification.Store(self._roots)).time(now)
        builder = builder.extension_policies(ca_policy=authority, ee_policy=anything)
        builder.build_client_verifier().verify(leaf, between)
        return key


def libtrust_id(key: PublicKey) -> str:
    """Return the id of registry 2: 240 bits of the key's hash in base32, in groups of four."""
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(sha256(encoded).digest()[:30]).decode()
    return ":".join(text[at : at + 4] for at in range(0, len(text), 4))


def thumbprint(key: PublicKey) -> str:
    """Return the id of registry 3 (RFC 7638)."""
    algorithm = jwt.get_algorithm_by_name(min(algorithms_of(key)))
    members = json.loads(algorithm.to_jwk(key))
    chosen = {name: members[name] for name in sorted(members) if name in {"crv", "e", "kty", "n", "x", "y"}}
    digest = sha256(json.dumps(chosen, separators=(",", ":")).encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _is_supported(key: object) -> TypeGuard[PublicKey]:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name in _CURVES
    return isinstance(key, rsa.RSAPublicKey | ed25519.Ed25519PublicKey)


def _roots_of(content: bytes, path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise KeysInvalid(f"auth.token.rootcertbundle: {path}: no certificates: {error}") from error


def _keys_of_jwks(content: bytes, path: Path) -> dict[str, PublicKey]:
    try:
        items = json.loads(content)["keys"]
        return dict(_keys_of(items))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, jwt.PyJWTError) as error:
        raise KeysInvalid(f"auth.token.jwks: {path}: not a set of keys: {error}") from error


def _keys_of(items: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, PublicKey]]:
    for item in items:
        key = jwt.PyJWK(dict(item)).key
        if hasattr(key, "private_bytes"):
            key = key.public_key()
        if _is_supported(key):  # not a shared secret (`oct`), which others know as well
            yield item.get("kid") or thumbprint(key), key
