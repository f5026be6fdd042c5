"""The locks of the driver in memory, between the threads of one process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from pyregistry.storage.seams.objects import PathBusy
from pyregistry.threads.wait_budget import WaitBudget


class SharedLock:
    """A lock held by one thread exclusively, or by several shared."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._shared = 0
        self._exclusive = False

    def _may_hold(self, *, exclusive: bool) -> bool:
        return not self._exclusive and not (exclusive and self._shared)

    @contextmanager
    def hold(self, *, exclusive: bool, budget: WaitBudget | None, wait: bool) -> Iterator[None]:
        """Hold it until the block ends; raise PathBusy without `wait`, and what `budget` raises."""
        with self._condition:
            if not wait and not self._may_hold(exclusive=exclusive):
                raise PathBusy
            with nullcontext() if budget is None else budget.waiting():
                while not self._may_hold(exclusive=exclusive):
                    self._condition.wait(None if budget is None else budget.left())
            self._exclusive = exclusive
            self._shared += not exclusive
        try:
            yield
        finally:
            with self._condition:
                self._exclusive = self._exclusive and not exclusive
                self._shared -= not exclusive
                self._condition.notify_all()
