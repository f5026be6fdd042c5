"""Digests: sha256 and sha512, the registered algorithms of the image spec."""

import hashlib
import re
from collections.abc import Mapping
from typing import Protocol, Self

from pyregistry.oci.errors import DigestInvalid

CANONICAL = "sha256"
"""The default algorithm."""

_ENCODED: Mapping[str, re.Pattern[str]] = {
    "sha256": re.compile(r"[a-f0-9]{64}", re.ASCII),
    "sha512": re.compile(r"[a-f0-9]{128}", re.ASCII),
}
ALGORITHMS = tuple(_ENCODED)


class Hash(Protocol):
    """A hash object of hashlib, as far as it is used."""

    @property
    def name(self) -> str:
        """The algorithm, as in a digest."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Add bytes; releases the interpreter's lock for more than 2 KiB."""

    def hexdigest(self) -> str:
        """The hash of all bytes so far, in lower-case hexadecimal."""


def parse_algorithm(value: str) -> str:
    """Return the `digest-algorithm` parameter of end-4c; raise DigestInvalid."""
    if value not in _ENCODED:
        raise DigestInvalid(f"supported digest algorithms are {' and '.join(ALGORITHMS)}")
    return value


def new_hash(algorithm: str = CANONICAL) -> Hash:
    """Return an empty hash of one of ALGORITHMS."""
    return hashlib.new(algorithm, usedforsecurity=False)


class Digest(str):
    """`algorithm:encoded`; raises DigestInvalid."""

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """Raise unless the algorithm is supported, and the encoded part is lower-case and of the right length."""
        algorithm, _, encoded = value[:136].partition(":")
        pattern = _ENCODED.get(algorithm)
        if pattern is None or pattern.fullmatch(encoded) is None:
            raise DigestInvalid("a digest is sha256: and 64, or sha512: and 128, lower-case hexadecimal digits")
        return super().__new__(cls, value)

    @classmethod
    def of(cls, content: bytes, algorithm: str = CANONICAL) -> Self:
        """Return the digest of `content`."""
        content_hash = new_hash(algorithm)
        content_hash.update(content)
        return cls.from_hash(content_hash)

    @classmethod
    def from_hash(cls, content_hash: Hash) -> Self:
        """Return the digest of all bytes that a hash has got."""
        return cls(f"{content_hash.name}:{content_hash.hexdigest()}")

    @property
    def algorithm(self) -> str:
        """The part before the colon."""
        return self.partition(":")[0]

    @property
    def encoded(self) -> str:
        """The part after the colon."""
        return self.partition(":")[2]


EMPTY_DIGESTS = frozenset(Digest.of(b"", algorithm) for algorithm in ALGORITHMS)
"""The digests of empty content: the only ones with a file of size 0."""
