"""Chooses the backend from `storage` of the config, and nothing else does."""

from pyregistry.config.schema import Config
from pyregistry.storage.backend import Backend, Directory, Location, Memory


def location_of(config: Config) -> Location:
    """Return the configured location of the data."""
    section = config.storage.filesystem
    return Memory() if section is None else Directory(section.root_directory)


def open_backend(config: Config, *, make: bool = False) -> Backend:
    """Open the storage of a config; with `make` create it if it is missing. Raises OSError. Blocks."""
    return location_of(config).open(make=make)
