"""SIGHUP in the first moments of a server, before slow imports."""

import signal
from collections.abc import Sequence

_PROGRAMS = frozenset({"registry", "pyregistry"})


def hold_hangup(words: Sequence[str]) -> None:
    """Block SIGHUP until the server can handle it, if these arguments start a server.

    Without a handler the signal ends the process. The mask survives `exec`, so the image's entry point calls this too.
    `release_hangup` delivers a signal that came meanwhile.
    """
    if asks_for_server(words):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def release_hangup() -> None:
    """Unblock SIGHUP; one that came since `hold_hangup` is delivered now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def asks_for_server(words: Sequence[str]) -> bool:
    """Return True for `serve ...`, `registry serve ...` and, as the image takes it, a config file alone."""
    first, *rest = words or [""]
    if first.rpartition("/")[2] in _PROGRAMS:
        return rest[:1] == ["serve"]
    return first == "serve" or first.endswith((".yml", ".yaml"))
