"""Why a command cannot do what it was asked to; each of our two programs says it in its own way."""


class CommandFailed(Exception):
    """The text is for the operator."""


class ConfigRefused(CommandFailed):
    """There is no config, or none that can be used."""
