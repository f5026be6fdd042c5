"""A cache with bounds of size and age: docs/decisions/0055 says why it is not a library's."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from math import inf
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """Values by key. At the limit it evicts the oldest, or with `by_use` the least recently used.

    Thread-safe only without `weigh` and `clock`: then each step is a single one of a dict.
    """

    def __init__(
        self,
        *,
        limit: int,
        weigh: Callable[[Value], int] | None = None,
        seconds: float = inf,
        clock: Callable[[], float] | None = None,
        by_use: bool = False,
    ) -> None:
        """Make a cache of `limit` values; with `weigh`, `limit` is their total weight.

        With a `clock` a value expires `seconds` after its `put`. A later `put` evicts expired ones, the oldest first.
        """
        self._limit, self._weigh = limit, weigh
        self._seconds, self._clock, self._by_use = seconds, clock, by_use
        self._weight = 0
        """Sum over all values; stays 0 without `weigh`."""
        self._values: OrderedDict[Key, tuple[Value, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: Key) -> bool:
        return self.get(key) is not None

    def get(self, key: Key) -> Value | None:
        """Return the value; None if it is missing or expired."""
        found = self._values.get(key)
        if found is None or (self._clock is not None and found[1] <= self._clock()):
            return None
        if self._by_use:
            self._values.move_to_end(key)
        return found[0]

    def put(self, key: Key, value: Value, until: float | None = None) -> None:
        """Insert or replace a value; `until` is when it expires, by the clock. Evicts expired ones."""
        self.pop(key)
        if self._weigh is not None:
            self._weight += self._weigh(value)
        now = 0.0 if self._clock is None else self._clock()
        self._values[key] = value, now + self._seconds if until is None else until
        while (len(self._values) if self._weigh is None else self._weight) > self._limit:
            self._drop_first()
        if self._clock is not None:
            while self._values and next(iter(self._values.values()))[1] <= now:
                self._drop_first()

    def pop(self, key: Key) -> Value | None:
        """Remove and return a value, also an expired one; None if it is missing."""
        found = self._values.pop(key, None)
        if found is None:
            return None
        if self._weigh is not None:
            self._weight -= self._weigh(found[0])
        return found[0]

    def _drop_first(self) -> None:
        _, (value, _) = self._values.popitem(last=False)
        if self._weigh is not None:
            self._weight -= self._weigh(value)
