"""Digests: sha256 and sha512, the registered algorithms of the image spec."""

import hashlib
import re
from collections.abc import Mapping
from typing import Protocol, Self

from pyregistry.oci.errors import DigestInvalid

CANONICAL = "sha256"
"""The algorithm where none is asked for."""

_ENCODED: Mapping[str, re.Pattern[str]] = {
    "sha256": re.compile(r"[a-f0-9]{64}", re.ASCII),
    "sha512": re.compile(r"[a-f0-9]{128}", re.ASCII),
}
ALGORITHMS = tuple(_ENCODED)


class Hash(Protocol):
    """What we use of hashlib's objects."""

    @property
    def name(self) -> str:
        """The algorithm, as it stands in a digest."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Add bytes; releases the interpreter's lock for more than 2 KiB."""

    def hexdigest(self) -> str:
        """The hash of all bytes so far, in lower-case hexadecimal."""


def parse_algorithm(value: str) -> str:
    """The `digest-algorithm` parameter of end-4c; raises DigestInvalid."""
    if value not in _ENCODED:
        raise DigestInvalid(f"supported digest algorithms are {' and '.join(ALGORITHMS)}")
    return value


def new_hash(algorithm: str = CANONICAL) -> Hash:
    """An empty hash of one of ALGORITHMS."""
    return hashlib.new(algorithm, usedforsecurity=False)


class Digest(str):
    """`algorithm:encoded`; raises DigestInvalid."""

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """Raise unless the algorithm is supported and the encoded part is lower-case and of its length."""
        algorithm, _, encoded = value[:136].partition(":")
        pattern = _ENCODED.get(algorithm)
        if pattern is None or pattern.fullmatch(encoded) is None:
            raise DigestInvalid("a digest is sha256: and 64, or sha512: and 128, lower-case hexadecimal digits")
        return super().__new__(cls, value)

    @classmethod
    def of(cls, content: bytes, algorithm: str = CANONICAL) -> Self:
        """The digest of `content`."""
        content_hash = new_hash(algorithm)
        content_hash.update(content)
        return cls.from_hash(content_hash)

    @classmethod
    def from_hash(cls, content_hash: Hash) -> Self:
        """The digest that a running hash has reached."""
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
"""The digests of no bytes: the only ones for which a file of size 0 is right."""
