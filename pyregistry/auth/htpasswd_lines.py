"""The lines of an htpasswd file, read by the server and by the command that changes it."""

from typing import NamedTuple


class HtpasswdEntry(NamedTuple):
    """USER:HASH, or USER:HASH:COMMENT as Apache and nginx take it."""

    user: bytes
    stored: bytes


def parse_line(line: bytes) -> HtpasswdEntry | None:
    """None for a comment and an empty line; raises ValueError for what has no colon.

    Space around the line is nothing, to the CNCF registry as well.
    """
    text = line.strip()
    if not text or text.startswith(b"#"):
        return None
    user, colon, stored = text.partition(b":")
    if not colon:
        raise ValueError("no colon")
    return HtpasswdEntry(user, stored.partition(b":")[0])
