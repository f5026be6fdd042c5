"""Compresses the payload of our own large tokens, so that they fit into a header.

The header then has the member `zip`, as in RFC 7516. Every reader of JWTs can read a small payload.
"""

import zlib
from typing import Any

import jwt

MAX_TOKEN_BYTES = 64_000
"""Bytes; a header with it must stay below the longest accepted line (pyregistry.api.transport.heads)."""
_LARGE_BYTES = 4_000
"""Bytes above which a payload is compressed."""
_MOST_BYTES = 16 * 1024 * 1024
"""Limit of an inflated payload; the scopes of the longest request need a fraction of it."""
_ZIP = "DEF"
_RAW = -zlib.MAX_WBITS


class CompressingJWT(jwt.PyJWT):
    """Encodes and decodes tokens; a compressed payload is inflated after its signature is verified."""

    def encode_claims(self, claims: dict[str, Any], secret: bytes, algorithm: str, key_id: str) -> str:
        """Return the token of these claims, compressed if they are large."""
        payload = self._encode_payload(claims)
        headers = {"kid": key_id}
        if len(payload) > _LARGE_BYTES:
            headers["zip"] = _ZIP
            deflate = zlib.compressobj(wbits=_RAW)
            payload = deflate.compress(payload) + deflate.flush()
        return self._jws.encode(payload, secret, algorithm, headers)

    def _decode_payload(self, decoded: dict[str, Any]) -> Any:
        if decoded["header"].get("zip") == _ZIP:
            inflate = zlib.decompressobj(wbits=_RAW)
            decoded = {**decoded, "payload": inflate.decompress(decoded["payload"], _MOST_BYTES)}
        return super()._decode_payload(decoded)
