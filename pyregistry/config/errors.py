"""Why a configuration is refused."""


class ConfigError(Exception):
    """The text names the key, what stands there and what was expected."""
