"""What the operating system refuses, as a sentence."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pyregistry.cli.config_file import fail
from pyregistry.oci.errors import Unavailable
from pyregistry.system_errors import user_name


def reason(error: OSError) -> str:
    """Return the system's sentence; for a missing right also the user and what to do."""
    if not isinstance(error, PermissionError):
        return str(error.strerror)
    advice = "run the command as root, or as the user who owns the data directory"
    return f"{error.strerror} for user {user_name(os.geteuid())}; {advice}"


@contextmanager
def unusable_directory() -> Iterator[None]:
    """Exit with 2 and say which file could not be read or written."""
    try:
        yield
    except BrokenPipeError:  # whoever read the output has seen enough
        raise
    except OSError as error:
        fail(f"cannot use the data directory: {error.filename}: {reason(error)}")
    except Unavailable as error:
        fail(f"cannot use the data directory: {error.detail}")
