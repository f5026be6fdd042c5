"""Modules that are imported on first use.

This saves time at the start, and memory in each worker. Metrics, tokens or tables for a terminal take up to a tenth of
a second and some MiB. A module is named twice, so that its types are checked and `lint-imports` sees it:

    if TYPE_CHECKING:
        from pyregistry.gc import schedule
    else:
        schedule = lazy("pyregistry.gc.schedule")
"""

from importlib import import_module
from typing import Any


class _LazyModule:
    """A module that is imported when an attribute is read."""

    def __init__(self, name: str) -> None:
        self.lazy_name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self.lazy_name), attribute)


def lazy(name: str) -> Any:
    """Return a proxy for the module of this full name; an import error is raised at the first use."""
    return _LazyModule(name)


def import_now(*modules: Any) -> None:
    """Import lazy modules before a fork, so that workers share their memory; raises ImportError."""
    for module in modules:
        import_module(module.lazy_name)
