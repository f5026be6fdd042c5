"""`override`: a method that takes its docstring from the class, or the protocol, that it belongs to.

The type checker proves that there is such a method. At run time it does nothing and imports nothing:
Python 3.11 has no `typing.override`, and the package that has it costs each start some milliseconds.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from typing_extensions import override
else:
    _F = TypeVar("_F", bound=Callable[..., Any])

    def override(method: _F) -> _F:
        """Return the method."""
        return method


__all__ = ["override"]
