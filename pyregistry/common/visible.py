"""Text of others, made visible: for a terminal, a line of a log, a column of a table."""

from collections.abc import Mapping

LOGSTASH_FIELDS: Mapping[str, object] = {"@version": "1", "type": "log"}
"""Members that Logstash expects beside `@timestamp` and `message`, as in the CNCF registry 2.8."""


def visible(text: str) -> str:
    """Return `text` with each character that is not printable as Python's escape for it: `\\n`, `\\x1b`, `\\u202e`.

    That is what ends a line, speaks to a terminal, turns the direction of what follows or is no character at all.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
