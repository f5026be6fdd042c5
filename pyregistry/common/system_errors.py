"""Errors and users of the operating system, as members of one line of the log or in words."""

import errno
import pwd

_OURS_TO_MEND = frozenset({errno.EBADF, errno.EFAULT, errno.EINVAL, errno.ENOTSOCK, errno.ESPIPE, errno.ENOTTY})
"""The system refuses what a fault of ours asked for."""


def explained(error: BaseException | None) -> dict[str, object]:
    """Return what a line of the log says of an error.

    For a state of the system (a full disk, a missing right), which no traceback helps to mend and which may go on for
    days: its name such as ENOSPC, the system's sentence, the file if there is one. For all else the traceback.
    """
    name = errno.errorcode.get(error.errno or 0) if isinstance(error, OSError) else None
    if not isinstance(error, OSError) or name is None or error.errno in _OURS_TO_MEND:
        return {"exc_info": error}
    told: dict[str, object] = {"error": name, "reason": error.strerror}
    if error.filename is not None:
        told["file"] = str(error.filename)
    return told


def in_words(error: Exception) -> str:
    """Return a sentence that names the file once, where there is one, and has the reason without its number."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error) or type(error).__name__
    name = error.filename
    return error.strerror if name is None else f"{name!s}: {error.strerror}"


def user_name(uid: int) -> str:
    """Return the name of a user of this machine, its number if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
