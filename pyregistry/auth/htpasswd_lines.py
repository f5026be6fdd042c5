"""The lines of an htpasswd file, read by the server and by the command that changes it."""

from typing import NamedTuple


class HtpasswdEntry(NamedTuple):
    """USER:HASH, or USER:HASH:COMMENT, which Apache and nginx accept."""

    user: bytes
    stored: bytes


def parse_line(line: bytes) -> HtpasswdEntry | None:
    """Return the entry, None for a comment or an empty line; raise ValueError without a colon.

    Space around the line is ignored, as in the CNCF registry.
    """
    text = line.strip()
    if not text or text.startswith(b"#"):
        return None
    user, colon, stored = text.partition(b":")
    if not colon:
        raise ValueError("no colon")
    return HtpasswdEntry(user, stored.partition(b":")[0])
