"""`override` marks a method that its base class or protocol documents.

The type checker proves that the base has it. At run time it does nothing and imports nothing: Python 3.11 has no
`typing.override`, and importing `typing_extensions` costs each start some milliseconds.
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
