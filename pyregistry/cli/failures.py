"""What the operating system refuses, as a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyregistry.cli.config_file import fail
from pyregistry.oci.errors import Unavailable


def sentence(error: OSError) -> str:
    """Return the file, where there is one, and the reason: neither twice, and without the error's number."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename is not None else reason


@contextmanager
def unusable_directory() -> Iterator[None]:
    """Exit with 2 and say which file could not be read or written."""
    try:
        yield
    except BrokenPipeError:  # whoever read the output has seen enough
        raise
    except OSError as error:
        fail(f"cannot use the data directory: {sentence(error)}")
    except Unavailable as error:
        fail(f"cannot use the data directory: {error.detail}")
