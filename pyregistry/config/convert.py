"""Converts a document to a Config and finds all faults of its types in one pass.

msgspec alone stops at the first fault. In a map it does not name the key of the faulty value.
"""

from collections.abc import Mapping
from typing import Any, get_args, get_origin

import msgspec

from pyregistry.config.error_messages import alternatives, expected, format_value, is_section
from pyregistry.config.schema import Config, Tls
from pyregistry.config.unknown import join
from pyregistry.config.values import Duration


def convert(document: Mapping[str, object]) -> tuple[Config | None, list[str]]:
    """Return the config, and a sentence for each fault: the key, its value, what was expected.

    With faults the config is what remains without them, for further checks. None if nothing usable remains.
    """
    converter = _Converter()
    sound, _ = converter.section(document, Config, "")
    config = None if sound is None else msgspec.convert(sound, type=Config, dec_hook=_decode)
    return config, converter.faults


_NEED_ONE_ANOTHER = frozenset({Tls})
"""Sections that are dropped whole if a key is faulty: one key without the other would be a second fault."""


class _Converter:
    def __init__(self) -> None:
        self.faults: list[str] = []

    def section(self, value: Mapping[str, object], kind: Any, path: str) -> tuple[dict[str, object] | None, bool]:
        """Return the usable members, None if a required one is missing; and True if there is no fault."""
        faults, kept = len(self.faults), {}
        is_usable = True
        for field in msgspec.structs.fields(kind):
            name, key_path = field.encode_name, join(path, field.encode_name)
            if name not in value:
                is_usable &= not field.required
                if field.required:
                    self.faults.append(f"{key_path}: missing, expected {expected(field.type)}")
                continue
            member = self._member(value[name], field.type, key_path)
            if member is not None:
                kept[name] = member
            is_usable &= member is not None or not field.required
        is_sound = len(self.faults) == faults
        if not is_sound and kind in _NEED_ONE_ANOTHER:
            kept = {}
        return kept if is_usable else None, is_sound

    def _member(self, value: object, kind: Any, key_path: str) -> object:
        """Return the usable part of the value of a key, or None."""
        [section, *_] = alternatives(kind)
        if not is_section(section):
            return value if self._is_sound(value, kind, key_path) else None
        if isinstance(value, dict):
            return self.section(value, section, key_path)[0]
        self._refuse(value, section, key_path)
        return None

    def _is_sound(self, value: object, kind: Any, key_path: str) -> bool:
        for each in alternatives(kind):
            if isinstance(value, dict) and is_section(each):
                return self.section(value, each, key_path)[1]
            if isinstance(value, list) and get_origin(each) is list:
                inner = get_args(each)[0]
                return all([self._is_sound(item, inner, f"{key_path}[{index}]") for index, item in enumerate(value)])
            if isinstance(value, dict) and get_origin(each) is dict:
                inner = get_args(each)[1]
                return all([self._is_sound(member, inner, f"{key_path}.{key}") for key, member in value.items()])
        try:
            msgspec.convert(value, type=kind, dec_hook=_decode)
        except (msgspec.ValidationError, OverflowError):  # OverflowError: a whole number too large for a float
            return self._refuse(value, kind, key_path)
        return True

    def _refuse(self, value: object, kind: Any, key_path: str) -> bool:
        self.faults.append(f"{key_path}: {format_value(value)}, expected {expected(kind)}")
        return False


def _decode(wanted: type, value: object) -> object:
    return Duration.parse(value) if issubclass(wanted, Duration) else value
