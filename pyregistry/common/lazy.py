"""Modules that are imported when they are first used.

A start need not wait for what this process may never do, and each worker is spared its memory: what makes metrics,
tokens or a table on a terminal takes up to a tenth of a second and some MiB. A module is named twice, so that its types
are checked and `lint-imports` sees it:

    if TYPE_CHECKING:
        from pyregistry.gc import schedule
    else:
        schedule = lazy("pyregistry.gc.schedule")
"""

from importlib import import_module
from typing import Any


class _LazyModule:
    """Stands for a module."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)


def lazy(name: str) -> Any:
    """Return a substitute for the module of this whole name. Its import errors come with the first use."""
    return _LazyModule(name)
