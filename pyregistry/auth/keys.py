"""The keys that sign our own tokens: made here, shared by all workers, changed every day.

A key that has been replaced is kept until the last token that it signed has expired.
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
_CLOCKS_DIFFER = 60
"""Seconds by which the clocks of two machines on one storage may differ."""

log = structlog.get_logger("pyregistry.auth")


class SigningKey(msgspec.Struct, frozen=True):
    """`made_at` in seconds since the epoch."""

    id: str
    secret: bytes
    made_at: float


class SecretStore(Protocol):
    """Bytes that all workers share and nobody else reads. Blocks."""

    def read(self) -> bytes | None:
        """None if there are none."""

    def change(self, change: Callable[[bytes | None], bytes | None]) -> bytes | None:
        """Replace the bytes by what `change` makes of them, unless that is None; one change at a time.

        The bytes that are there now.
        """


class KeyRing:
    """The keys, newest last."""

    def __init__(self, store: SecretStore, clock: Callable[[], float] = time.time, spare: bytes | None = None) -> None:
        """Make a ring on `store`; `spare`, a secret that all workers have, signs where none can be stored."""
        self._store = store
        self._clock = clock
        self._spare = None if spare is None else SigningKey(blake2b(spare, digest_size=8).hexdigest(), spare, 0.0)
        self._complained = False
        self._keys: dict[str, tuple[SigningKey, float]] = {}  # with the time from which they are no longer taken

    def signing(self) -> SigningKey:
        """The key to sign with, made or replaced when it is due. Blocks."""
        keys: list[SigningKey] = []
        try:
            keys = _decode(self._store.read())
            if self._is_due(keys):
                keys = _decode(self._store.change(self._rotate))
            self._complained = False
        except OSError as error:  # a full or read-only disk must not stop everybody from pulling
            if not keys and self._spare is None:
                raise
            self._complain(error)
        self._remember(keys)
        return keys[-1] if keys else self._spare_key()

    def known(self, key_id: str) -> SigningKey | None:
        """A key that this worker has seen."""
        if self._spare is not None and key_id == self._spare.id:
            return self._spare
        key, until = self._keys.get(key_id, (None, 0.0))
        return key if self._clock() < until else None

    def find(self, key_id: str) -> SigningKey | None:
        """A key that another worker may have made. Blocks."""
        try:
            self._remember(_decode(self._store.read()))
        except OSError as error:
            if self._spare is None:
                raise
            self._complain(error)
        return self.known(key_id)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            log.error(
                "the keys of tokens could not be stored or replaced, the last one goes on", reason=in_words(error)
            )
        self._complained = True

    def _spare_key(self) -> SigningKey:
        assert self._spare is not None
        return self._spare

    def _remember(self, keys: Sequence[SigningKey]) -> None:
        replaced_at = [key.made_at for key in keys[1:]]
        until = [*(at + TOKEN_SECONDS + _CLOCKS_DIFFER for at in replaced_at), float("inf")]
        self._keys = {key.id: (key, end) for key, end in zip(keys, until, strict=False)}

    def _is_due(self, keys: Sequence[SigningKey]) -> bool:
        # Also where a clock that went wrong has made a key of the future.
        return not keys or not -_CLOCKS_DIFFER <= self._clock() - keys[-1].made_at < ROTATE_SECONDS

    def _rotate(self, content: bytes | None) -> bytes | None:
        keys = _decode(content)
        if not self._is_due(keys):  # another worker was quicker
            return None
        return msgspec.json.encode([*keys[-1:], SigningKey(token_hex(8), token_bytes(32), self._clock())])


def _decode(content: bytes | None) -> list[SigningKey]:
    """What cannot be read is made anew: who holds a token of a lost key asks for another."""
    try:
        return msgspec.json.decode(content or b"[]", type=list[SigningKey])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
