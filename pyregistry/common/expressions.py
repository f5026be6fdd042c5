"""Regular expressions of the config, searched in what clients send.

RE2 instead of `re`: its time is linear in the text, where `re` takes exponential time for `^https?://([^/]+\\.)*example`,
the rule in the CNCF registry's own documentation. It is also the dialect of Go, in which such rules are written.
"""

import re
from typing import TYPE_CHECKING, Protocol

from pyregistry.common.lazy import lazy

if TYPE_CHECKING:
    import re2
else:
    re2 = lazy("re2")

_ANY_BYTE = re.compile(r"(?:[^\\]|\\[^C])*+\\C", re.DOTALL)
"""RE2 knows it, and Go does not."""


class Expression(Protocol):
    """A regular expression that was understood."""

    def search(self, text: str, /) -> object | None:
        """Find it anywhere in the text, in time that is linear in the text."""


def understand(expression: str) -> Expression:
    """Return the expression; raise ValueError for what Go refuses, and for what needs more than 8 MiB of memory."""
    if _ANY_BYTE.match(expression) is not None:
        raise ValueError("invalid escape sequence: \\C")
    options = re2.Options()
    options.log_errors = False  # it would write to the standard error itself
    options.never_capture = True  # groups are not asked for, and each makes a search dearer
    try:
        compiled: Expression = re2.compile(expression, options)
    except re2.error as error:
        raise ValueError(_reason(error)) from error
    return compiled


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
