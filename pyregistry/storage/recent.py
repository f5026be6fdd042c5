"""A memory of bounded size, which forgets what was not used for the longest time."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """The values that were used last, as many of them as `limit` allows. Not for use from several threads."""

    def __init__(self, limit: int, weigh: Callable[[Value], int] = lambda _: 1) -> None:
        self._limit = limit
        self._weigh = weigh
        self._weight = 0
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """The value, which is then the one used last."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: Key, value: Value) -> None:
        """Keep a value; those not used for the longest time go."""
        replaced = self._values.pop(key, None)
        self._weight += self._weigh(value) - (0 if replaced is None else self._weigh(replaced))
        self._values[key] = value
        while self._weight > self._limit:
            _, dropped = self._values.popitem(last=False)
            self._weight -= self._weigh(dropped)
