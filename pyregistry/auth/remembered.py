"""Hashes of what was found out before: no credential is held in a form that can be read."""

from hashlib import blake2b
from secrets import token_bytes


class KeyedHash:
    """With a random key, made at the start, that never leaves the memory."""

    def __init__(self) -> None:
        # To copy the state costs half of what it costs to begin with the key.
        self._keyed = blake2b(key=token_bytes(32), digest_size=32)

    def __call__(self, content: bytes) -> bytes:
        """The hash of this."""
        state = self._keyed.copy()
        state.update(content)
        return state.digest()
