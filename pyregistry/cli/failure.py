"""Why a command cannot do what it was asked to; each of our two programs says it in its own way."""


class CommandFailed(Exception):
    """A sentence for the operator; `status` is what the program ends with, None: what it usually ends with then."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.lines: tuple[str, ...] = (reason,)
        self.status = status


class ConfigRefused(CommandFailed):
    """There is no config, or none that can be used: one line for each fault, none if the log has them already."""

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines
