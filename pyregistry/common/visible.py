"""Escapes text of others for a terminal, a log line or a table."""

from collections.abc import Mapping

LOGSTASH_FIELDS: Mapping[str, object] = {"@version": "1", "type": "log"}
"""Members that Logstash expects in addition to `@timestamp` and `message`, as in the CNCF registry 2.8."""


def visible(text: str) -> str:
    """Return `text` with each unprintable character as Python's escape: `\\n`, `\\x1b`, `\\u202e`.

    These end a line, control a terminal, change the direction of the text or are not characters.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
