"""From `storage` of the config to a backend: the one place that knows which section asks for which."""

from pyregistry.config.schema import Config
from pyregistry.storage.backend import Backend, Directory, Location, Memory


def location_of(config: Config) -> Location:
    """Return where the config says that the data is."""
    section = config.storage.filesystem
    return Memory() if section is None else Directory(section.root_directory)


def open_backend(config: Config, *, make: bool = False) -> Backend:
    """Open the storage of a config, and with `make` make it where it is missing; raises OSError. Blocks."""
    return location_of(config).open(make=make)
