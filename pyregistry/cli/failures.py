"""What the operating system refuses, as a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyregistry.cli.config_file import fail
from pyregistry.oci.errors import Unavailable
from pyregistry.system_errors import in_words


@contextmanager
def unusable_directory() -> Iterator[None]:
    """Exit with 2 and say which file could not be read or written."""
    try:
        yield
    except BrokenPipeError:  # whoever read the output has seen enough
        raise
    except OSError as error:
        fail(f"cannot use the data directory: {in_words(error)}")
    except Unavailable as error:
        fail(f"cannot use the data directory: {error.detail}")
