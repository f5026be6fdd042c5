"""The keys that sign our own tokens: generated here, shared by all workers, rotated every day.

A replaced key is kept until the last token that it signed expired.
"""

import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from secrets import token_bytes, token_hex
from typing import Protocol

import msgspec
import structlog

from pyregistry.common.system_errors import in_words

TOKEN_SECONDS = 300
ROTATE_SECONDS = 24 * 3600
_CLOCK_SKEW_SECONDS = 60
"""Seconds by which the clocks of two machines on one storage may differ."""

log = structlog.get_logger("pyregistry.auth")


class SigningKey(msgspec.Struct, frozen=True):
    """A key; `made_at` in seconds since the epoch."""

    id: str
    secret: bytes
    made_at: float


class SecretStore(Protocol):
    """Secret bytes that only the workers share. Blocks."""

    def read(self) -> bytes | None:
        """Return the bytes, None before the first change."""

    def change(self, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Replace the bytes by the result of `change`; None keeps them. One change at a time.

        Returns the current bytes.
        """


class KeyRing:
    """The keys, newest last."""

    def __init__(self, store: SecretStore, clock: Callable[[], float] = time.time, spare: bytes | None = None) -> None:
        """Make a ring on `store`; `spare`, a secret of all workers, signs if the store cannot be written."""
        self._store = store
        self._clock = clock
        self._spare = None if spare is None else SigningKey(blake2b(spare, digest_size=8).hexdigest(), spare, 0.0)
        self._complained = False
        self._keys: dict[str, tuple[SigningKey, float]] = {}  # with the time at which they expire

    def signing(self) -> SigningKey:
        """Return the key to sign with, generated or rotated when due. Blocks."""
        keys: list[SigningKey] = []
        try:
            keys = _decode(self._store.read())
            if self._is_due(keys):
                keys = _decode(self._store.change(self._rotate))
            self._complained = False
        except OSError as error:  # a full or read-only disk must not stop all pulls
            if not keys and self._spare is None:
                raise
            self._complain(error)
        self._keep(keys)
        return keys[-1] if keys else self._spare_key()

    def known(self, key_id: str) -> SigningKey | None:
        """Return a key that this worker has seen."""
        if self._spare is not None and key_id == self._spare.id:
            return self._spare
        key, until = self._keys.get(key_id, (None, 0.0))
        return key if self._clock() < until else None

    def find(self, key_id: str) -> SigningKey | None:
        """Return a key that another worker may have generated. Blocks."""
        try:
            self._keep(_decode(self._store.read()))
        except OSError as error:
            if self._spare is None:
                raise
            self._complain(error)
        return self.known(key_id)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            log.error(
                "the keys of tokens could not be stored or replaced, the last one stays in use", reason=in_words(error)
            )
        self._complained = True

    def _spare_key(self) -> SigningKey:
        assert self._spare is not None
        return self._spare

    def _keep(self, keys: Sequence[SigningKey]) -> None:
        replaced_at = [key.made_at for key in keys[1:]]
        until = [*(at + TOKEN_SECONDS + _CLOCK_SKEW_SECONDS for at in replaced_at), float("inf")]
        self._keys = {key.id: (key, end) for key, end in zip(keys, until, strict=False)}

    def _is_due(self, keys: Sequence[SigningKey]) -> bool:
        # Also if a wrong clock made a key of the future.
        return not keys or not -_CLOCK_SKEW_SECONDS <= self._clock() - keys[-1].made_at < ROTATE_SECONDS

    def _rotate(self, content: bytes | None) -> bytes | None:
        keys = _decode(content)
        if not self._is_due(keys):  # another worker was faster
            return None
        return msgspec.json.encode([*keys[-1:], SigningKey(token_hex(8), token_bytes(32), self._clock())])


def _decode(content: bytes | None) -> list[SigningKey]:
    """Return the keys; none if they are damaged: then a new one is made, and clients get new tokens."""
    try:
        return msgspec.json.decode(content or b"[]", type=list[SigningKey])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
