"""A key and its default are written once: what serves has the same defaults, and the known keys are the structs'."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, get_args, get_origin

import msgspec
import pytest

from pyregistry.api.http.context import Settings
from pyregistry.api.transport.limits import ConnectionLimits
from pyregistry.config.error_messages import alternatives, is_section
from pyregistry.config.known_keys import SURFACE, Key, ListOf, Surface
from pyregistry.config.load import parse
from pyregistry.config.schema import Config
from pyregistry.gc.types import Options
from pyregistry.service.wiring import api_settings, connection_limits, gc_options, storage_rules
from pyregistry.storage.seams.rules import Rules

_OF_THE_CONFIG_ALONE = {"default_platform"}
"""Values of which those that are made without a config have none."""


@pytest.mark.parametrize(
    ("made", "default"),
    [
        (connection_limits, ConnectionLimits()),
        (api_settings, Settings()),
        (storage_rules, Rules()),
        (gc_options, Options()),
    ],
    ids=["connections", "API", "storage", "gc"],
)
def test_what_is_made_of_a_config_without_a_key_is_the_default(made: Any, default: Any) -> None:
    config, _ = parse("{version: 0.1, storage: inmemory}", {})
    found = made(config)
    names = [field.name for field in fields(default) if field.name not in _OF_THE_CONFIG_ALONE]
    assert {name: getattr(found, name) for name in names} == {name: getattr(default, name) for name in names}


def _keys(kind: Any, path: str = "") -> Iterator[str]:
    """The keys of a struct, of those below it, and of the items of its lists."""
    for field in msgspec.structs.fields(kind):
        place = f"{path}.{field.encode_name}" if path else field.encode_name
        [first, *_] = alternatives(field.type)
        inner = get_args(first)[0] if get_origin(first) is list else first
        if is_section(inner) and inner.__struct_fields__:
            yield from _keys(inner, place)
        else:
            yield place


def _find(path: str) -> Surface:
    surface: Surface = SURFACE
    for part in path.split("."):
        section = surface.of if isinstance(surface, ListOf) else surface
        assert isinstance(section, Mapping)
        surface = section[part]
    return surface


@pytest.mark.parametrize("path", list(_keys(Config)))
def test_each_key_of_the_structs_is_known_and_carried_out(path: str) -> None:
    found = _find(path)
    assert not (isinstance(found, Key | ListOf) and found.note)
