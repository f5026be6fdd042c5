"""Faults of a configuration, and remarks about it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyregistry.config.schema import Log


class ConfigError(Exception):
    """The configuration is invalid: one sentence for each fault, with the key, its value and what was expected."""

    def __init__(self, *reasons: str, log: "Log | None" = None) -> None:
        """Make the error; `log` is that section of the invalid config, if it is known."""
        super().__init__(*reasons)
        self.reasons = reasons
        self.log = log

    def in_file(self, path: Path) -> "ConfigError":
        """Return a copy with the name of the file before each sentence."""
        return ConfigError(*(f"{path}: {reason}" for reason in self.reasons), log=self.log)

    def __str__(self) -> str:
        return "; ".join(self.reasons)


@dataclass(frozen=True, slots=True)
class Notes:
    """Remarks on a config: errors make it invalid, warnings do not."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, sentence: str, *, is_error: bool) -> None:
        """Keep one sentence."""
        (self.errors if is_error else self.warnings).append(sentence)
