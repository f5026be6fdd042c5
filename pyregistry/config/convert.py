"""From a document to a Config, with all faults of its types in one pass.

msgspec alone stops at the first fault, and does not say in which of several values of a map it is.
"""

from collections.abc import Mapping
from typing import Any, get_args, get_origin

import msgspec

from pyregistry.config.error_messages import alternatives, expected, is_section, shown
from pyregistry.config.schema import Config, Tls
from pyregistry.config.unknown import join
from pyregistry.config.values import Duration


def convert(document: Mapping[str, object]) -> tuple[Config | None, list[str]]:
    """Return the config, and a sentence for each fault: the key, its value, what was expected.

    Where there are faults the config is what is left of it, for further checks. None if nothing can be left out.
    """
    converter = _Converter()
    sound, _ = converter.section(document, Config, "")
    config = None if sound is None else msgspec.convert(sound, type=Config, dec_hook=_decode)
    return config, converter.faults


_NEED_ONE_ANOTHER = frozenset({Tls})
"""Sections of which a faulty key takes the others with it: one without the other would be a second fault."""


class _Converter:
    def __init__(self) -> None:
        self.faults: list[str] = []

    def section(self, value: Mapping[str, object], kind: Any, path: str) -> tuple[dict[str, object] | None, bool]:
        """Return the usable members, None if one that is needed is missing; and True if there is no fault at all."""
        faults, kept = len(self.faults), {}
        is_usable = True
        for field in msgspec.structs.fields(kind):
            name, place = field.encode_name, join(path, field.encode_name)
            if name not in value:
                is_usable &= not field.required
                if field.required:
                    self.faults.append(f"{place}: missing, expected {expected(field.type)}")
                continue
            member = self._member(value[name], field.type, place)
            if member is not None:
                kept[name] = member
            is_usable &= member is not None or not field.required
        is_sound = len(self.faults) == faults
        if not is_sound and kind in _NEED_ONE_ANOTHER:
            kept = {}
        return kept if is_usable else None, is_sound

    def _member(self, value: object, kind: Any, place: str) -> object:
        """Return what is usable of the value of a key, None if nothing is."""
        [section, *_] = alternatives(kind)
        if not is_section(section):
            return value if self._is_sound(value, kind, place) else None
        if isinstance(value, dict):
            return self.section(value, section, place)[0]
        self._refuse(value, section, place)
        return None

    def _is_sound(self, value: object, kind: Any, place: str) -> bool:
        for each in alternatives(kind):
            if isinstance(value, dict) and is_section(each):
                return self.section(value, each, place)[1]
            if isinstance(value, list) and get_origin(each) is list:
                inner = get_args(each)[0]
                return all([self._is_sound(item, inner, f"{place}[{index}]") for index, item in enumerate(value)])
            if isinstance(value, dict) and get_origin(each) is dict:
                inner = get_args(each)[1]
                return all([self._is_sound(member, inner, f"{place}.{key}") for key, member in value.items()])
        try:
            msgspec.convert(value, type=kind, dec_hook=_decode)
        except (msgspec.ValidationError, OverflowError):  # OverflowError: a whole number that no float can hold
            return self._refuse(value, kind, place)
        return True

    def _refuse(self, value: object, kind: Any, place: str) -> bool:
        self.faults.append(f"{place}: {shown(value)}, expected {expected(kind)}")
        return False


def _decode(wanted: type, value: object) -> object:
    return Duration.parse(value) if issubclass(wanted, Duration) else value
