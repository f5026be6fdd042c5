"""A driver that measures how long another one takes, in the words of the CNCF registry's metrics."""

import time
from collections.abc import Callable
from typing import TypeVar

from pyregistry.storage.delegating import DelegatingDriver
from pyregistry.storage.local.driver import Driver

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
"""By verb; the CNCF registry has no words for the others."""


class MeasuredDriver(DelegatingDriver):
    """Driver that measures another one."""

    def __init__(self, driver: Driver, observer: Callable[[str], Observe]) -> None:
        """`observer` returns for an action the function to call with its seconds, from any thread."""
        super().__init__(driver)
        observed = {action: observer(action) for action in dict.fromkeys(_ACTIONS.values())}
        self._observe = {verb: observed[action] for verb, action in _ACTIONS.items()}

    def around(self, verb: str, path: str, work: Callable[[], T]) -> T:
        """Observe the seconds of one call, also if it fails."""
        observe = self._observe.get(verb)
        if observe is None:
            return work()
        begun = time.perf_counter()
        try:
            return work()
        finally:
            observe(time.perf_counter() - begun)
