"""Durations, which YAML has no type for, and units of numbers."""

import re
from typing import Annotated, Self

import msgspec

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_DURATION = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


_LEAST_IN_SECONDS = 1e-3
"""Durations below this are shown in nanoseconds."""


class Duration(float):
    """Seconds, written as Go does: `10s`, `1h30m`, `500ms`; a bare number is nanoseconds."""

    @classmethod
    def parse(cls, value: object) -> Self:
        """Return the duration; raise ValueError."""
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:  # as Go's
            return cls(value * 1e-9)
        if value == "0":
            return cls(0.0)
        if not isinstance(value, str) or len(value) > 64 or _DURATION.fullmatch(value) is None:
            raise ValueError(f"{value!r} is not a duration such as 10s, 1h30m or 500ms")
        return cls(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value)))

    def __str__(self) -> str:
        """Return the duration as a config has it."""
        if 0 < abs(self) < _LEAST_IN_SECONDS:
            return f"{self * 1e9:.0f}ns"  # probably a bare number: show its own digits
        return f"{self:.9f}".rstrip("0").rstrip(".") + "s"


def unit(name: str) -> msgspec.Meta:
    """Return an annotation for a field's type with the unit that docs/settings.md shows."""
    return msgspec.Meta(extra={"unit": name})


Bytes = Annotated[int, unit("bytes")]
Seconds = Annotated[float, unit("seconds")]
BytesPerSecond = Annotated[int, unit("bytes per second")]
Failures = Annotated[int, unit("failures in a row")]
Entries = Annotated[int, unit("entries")]
