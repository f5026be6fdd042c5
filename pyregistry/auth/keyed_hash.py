"""Keyed hashes, so that caches hold no readable credential."""

from hashlib import blake2b
from secrets import token_bytes


class KeyedHash:
    """A hash with a random key of this process, which never leaves its memory."""

    def __init__(self) -> None:
        # To copy the state takes half the time of a start with the key.
        self._keyed = blake2b(key=token_bytes(32), digest_size=32)

    def __call__(self, content: bytes) -> bytes:
        """Return the hash of this content."""
        state = self._keyed.copy()
        state.update(content)
        return state.digest()
