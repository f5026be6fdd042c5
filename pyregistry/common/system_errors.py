"""Errors and users of the operating system, as log fields or in words."""

import errno
import pwd

_OURS_TO_MEND = frozenset({errno.EBADF, errno.EFAULT, errno.EINVAL, errno.ENOTSOCK, errno.ESPIPE, errno.ENOTTY})
"""Errors that a bug of ours causes."""


def explained(error: BaseException | None) -> dict[str, object]:
    """Return the log fields of an error.

    For a state of the system (a full disk, a missing right): a name such as ENOSPC, the message, the file. A traceback
    would not help, and the state may last for days. For any other error: the traceback.
    """
    name = errno.errorcode.get(error.errno or 0) if isinstance(error, OSError) else None
    if not isinstance(error, OSError) or name is None or error.errno in _OURS_TO_MEND:
        return {"exc_info": error}
    told: dict[str, object] = {"error": name, "reason": error.strerror}
    if error.filename is not None:
        told["file"] = str(error.filename)
    return told


def in_words(error: Exception) -> str:
    """Return a sentence with the file, if any, named once, and the reason without its number."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error) or type(error).__name__
    name = error.filename
    return error.strerror if name is None else f"{name!s}: {error.strerror}"


def user_name(uid: int) -> str:
    """Return the name of a user of this machine, or the number if it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
