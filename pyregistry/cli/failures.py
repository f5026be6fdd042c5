"""What the operating system refuses, as a sentence."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pyregistry.cli.config_file import fail
from pyregistry.common.system_errors import in_words, user_name
from pyregistry.oci.errors import Unavailable


def advice(error: OSError) -> str:
    """Return what follows the sentence of a missing right: the user and what to do; nothing for other errors."""
    if not isinstance(error, PermissionError):
        return ""
    return f" for user {user_name(os.geteuid())}; run the command as root, or as the user who owns the data directory"


@contextmanager
def unusable_directory() -> Iterator[None]:
    """Exit with 2 and say which file could not be read or written."""
    try:
        yield
    except BrokenPipeError:  # whoever read the output has seen enough
        raise
    except OSError as error:
        fail(f"cannot use the data directory: {in_words(error)}{advice(error)}")
    except Unavailable as error:
        fail(f"cannot use the data directory: {error.detail}")
