"""Storages that measure the calls of another one, by the actions of the CNCF registry's metrics."""

import time
from collections.abc import Callable
from typing import TypeVar

from pyregistry.common.overriding import override
from pyregistry.storage.delegating import Delegating, DelegatingDriver, DelegatingObjects
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.seams.objects import Objects

T = TypeVar("T")
Observe = Callable[[float], None]

_ACTIONS = {
    "read": "GetContent",
    "write": "PutContent",
    "create": "PutContent",
    "mark": "PutContent",
    "stat": "Stat",
    "children": "List",
    "move": "Move",
    "delete": "Delete",
    "delete_many": "Delete",
    "discard": "Delete",
}
"""Actions by verb; the CNCF registry has no words for the others."""


class _Measured(Delegating):
    def __init__(self, observer: Callable[[str], Observe]) -> None:
        observed = {action: observer(action) for action in dict.fromkeys(_ACTIONS.values())}
        self._observe = {verb: observed[action] for verb, action in _ACTIONS.items()}

    @override
    def around(self, verb: str, path: str, work: Callable[[], T]) -> T:
        observe = self._observe.get(verb)
        if observe is None:
            return work()
        begun = time.perf_counter()
        try:
            return work()
        finally:  # also of a call that fails
            observe(time.perf_counter() - begun)


class MeasuredObjects(_Measured, DelegatingObjects):
    """Objects whose calls are measured."""

    def __init__(self, objects: Objects, observer: Callable[[str], Observe]) -> None:
        """`observer` returns, for each action, a function that gets the seconds, in the calling thread."""
        _Measured.__init__(self, observer)
        DelegatingObjects.__init__(self, objects)


class MeasuredDriver(_Measured, DelegatingDriver):
    """A driver whose calls are measured."""

    def __init__(self, driver: Driver, observer: Callable[[str], Observe]) -> None:
        """Take what MeasuredObjects takes."""
        _Measured.__init__(self, observer)
        DelegatingDriver.__init__(self, driver)
