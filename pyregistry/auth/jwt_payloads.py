"""Our own tokens with a large claim: their payload is compressed, so that they fit into a header.

With the member `zip` of the header, as in RFC 7516; a small payload stays one that every reader of JWTs understands.
"""

import zlib
from typing import Any

import jwt

LONGEST_TOKEN = 64_000
"""Bytes; a header with it must stay below the longest line that is taken (pyregistry.api.transport.heads)."""
_LARGE = 4_000
"""Bytes of a payload that is compressed."""
_MOST_BYTES = 16 * 1024 * 1024
"""Of a payload; the scopes of the longest request become a fraction of it."""
_ZIP = "DEF"
_RAW = -zlib.MAX_WBITS


class CompressingJWT(jwt.PyJWT):
    """Encodes and decodes tokens; a compressed payload is inflated behind the check of its signature."""

    def encode_claims(self, claims: dict[str, Any], secret: bytes, algorithm: str, key_id: str) -> str:
        """Return the token of these claims, compressed where that is worth it."""
        payload = self._encode_payload(claims)
        headers = {"kid": key_id}
        if len(payload) > _LARGE:
            headers["zip"] = _ZIP
            deflate = zlib.compressobj(wbits=_RAW)
            payload = deflate.compress(payload) + deflate.flush()
        return self._jws.encode(payload, secret, algorithm, headers)

    def _decode_payload(self, decoded: dict[str, Any]) -> Any:
        if decoded["header"].get("zip") == _ZIP:
            inflate = zlib.decompressobj(wbits=_RAW)
            decoded = {**decoded, "payload": inflate.decompress(decoded["payload"], _MOST_BYTES)}
        return super()._decode_payload(decoded)
