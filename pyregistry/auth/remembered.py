"""What was found out before, for a while, under keyed hashes: no credential is held in a form that can be read."""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from secrets import token_bytes
from typing import Generic, TypeVar

V = TypeVar("V")


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


class Remembered(Generic[V]):
    """Values by key, until a time after they were put there last; at most so many, the oldest are dropped."""

    def __init__(self, seconds: float, most: int, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._values: OrderedDict[bytes, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def get(self, key: bytes) -> V | None:
        """None if it is not there, or too old."""
        found = self._values.get(key)
        return found[1] if found is not None and found[0] > self._clock() else None

    def put(self, key: bytes, value: V) -> None:
        """Or put it there again. What is too old does not stay in memory any longer."""
        now = self._clock()
        self._values[key] = now + self._seconds, value
        self._values.move_to_end(key)
        while len(self._values) > self._most or next(iter(self._values.values()))[0] <= now:
            self._values.popitem(last=False)
