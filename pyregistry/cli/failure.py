"""Failures of a command, which each of our two programs prints in its own way."""


class CommandFailed(Exception):
    """A sentence for the operator; `status` is the exit status, None: the program's default for failures."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.lines: tuple[str, ...] = (reason,)
        self.status = status


class ConfigRefused(CommandFailed):
    """The config is missing or invalid: one line for each fault, none if they were logged."""

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines
