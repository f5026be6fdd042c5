"""Regular expressions of the config, matched against what clients send.

RE2 instead of `re`: its time is linear in the text. `re` takes exponential time for `^https?://([^/]+\\.)*example`, a
rule of the CNCF registry's own documentation. RE2 is also the dialect of Go, in which such rules are written.
"""

import re
from typing import TYPE_CHECKING, Protocol

from pyregistry.common.lazy import lazy

if TYPE_CHECKING:
    import re2
else:
    re2 = lazy("re2")

_ANY_BYTE = re.compile(r"(?:[^\\]|\\[^C])*+\\C", re.DOTALL)
"""RE2 accepts it, Go does not."""


class Expression(Protocol):
    """A compiled regular expression."""

    def search(self, text: str, /) -> object | None:
        """Return a match anywhere in the text, in time linear in the text."""


def compile_expression(expression: str) -> Expression:
    """Compile an expression; raise ValueError if Go rejects it, or if it needs more than 8 MiB of memory."""
    if _ANY_BYTE.match(expression) is not None:
        raise ValueError("invalid escape sequence: \\C")
    options = re2.Options()
    options.log_errors = False  # it would write to the standard error itself
    options.never_capture = True  # groups are not used, and each slows a search
    try:
        compiled: Expression = re2.compile(expression, options)
    except re2.error as error:
        raise ValueError(_reason(error)) from error
    return compiled


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
