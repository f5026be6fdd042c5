"""`log.fields`: members of each line of a JSON log."""

from collections.abc import Mapping
from datetime import date
from math import isfinite

from pyregistry.common.visible import visible

_LIMIT = 2**63
"""Numbers below it mean the same to all readers of JSON."""


def plain_fields(fields: Mapping[object, object]) -> dict[str, object]:
    """Return `log.fields` for JSON: YAML's dates, bytes, sets and infinite numbers become text."""
    return {visible(_text(str(key))): _plain(value) for key, value in fields.items()}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return plain_fields(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set):
        return sorted(_text(str(item)) for item in value)
    return _plain_scalar(value)


def _plain_scalar(value: object) -> object:
    if isinstance(value, bool | None):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, date):
        return value.isoformat()
    is_number = isinstance(value, int | float) and abs(value) < _LIMIT and isfinite(value)
    return value if is_number else _text(str(value))


def _text(value: str) -> str:
    """Return a text that can be encoded: YAML can contain half a surrogate pair."""
    return value.encode(errors="backslashreplace").decode()
