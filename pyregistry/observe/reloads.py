"""The result of the last config reload, for the metrics."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reload:
    """Result of the last load of the config, at the start or at a SIGHUP. The time is in seconds since the epoch."""

    succeeded: bool
    at: float
