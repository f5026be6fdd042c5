"""The last reading of the config, as the metrics show it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reload:
    """Result of reading the config last, at the start or at a SIGHUP. The time is in seconds since the epoch."""

    succeeded: bool
    at: float
