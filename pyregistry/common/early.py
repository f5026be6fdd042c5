"""SIGHUP in the first moments of a server, before anything that takes time is imported."""

import signal
from collections.abc import Sequence

_PROGRAMS = frozenset({"registry", "pyregistry"})


def hold_hangup(words: Sequence[str]) -> None:
    """Let SIGHUP wait until a server is ready for it, where these arguments ask for a server.

    The signal ends a process that has no handler for it yet. A program executed in the place of this one inherits
    the mask, so the image's entry point calls this as well. `release_hangup` delivers a signal that came meanwhile.
    """
    if asks_for_server(words):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def release_hangup() -> None:
    """Deliver a SIGHUP that came since `hold_hangup`."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def asks_for_server(words: Sequence[str]) -> bool:
    """Return True for `serve ...`, `registry serve ...` and, as the image takes it, a config file alone."""
    first, *rest = words or [""]
    if first.rpartition("/")[2] in _PROGRAMS:
        return rest[:1] == ["serve"]
    return first == "serve" or first.endswith((".yml", ".yaml"))
