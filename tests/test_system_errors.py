"""Errors in words."""

import errno
from pathlib import Path

import pytest

from pyregistry.common.system_errors import in_words


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/a"), "/a: No such file or directory"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", Path("/a")), "/a: No such file or directory"),
        (OSError("nothing more"), "nothing more"),
        (TimeoutError(), "TimeoutError"),
        (ValueError("not one of the system's"), "not one of the system's"),
    ],
)
def test_a_sentence_has_the_file_once_and_no_number(error: Exception, said: str) -> None:
    assert in_words(error) == said
