"""The last reading of the config, as the metrics show it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reload:
    """How the config was read last, at the start or at a SIGHUP; the time is in seconds since the epoch."""

    succeeded: bool
    at: float
