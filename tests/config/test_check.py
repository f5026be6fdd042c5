"""The messages for an operator about keys that are unknown or not carried out."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import yaml

from pyregistry.config.check import check
from pyregistry.config.errors import Notes
from pyregistry.config.known_keys import SURFACE, Free, Items, Key, Surface
from pyregistry.config.load import parse
from pyregistry.config.schema import Config

CONFIGS = sorted((Path(__file__).parents[2] / "config").glob("*.yml"))

TOLD = {
    "an unknown section": ("htp: {addr: x}", "htp: ignored, there is no such key; did you mean http?"),
    "an unknown key": ("http: {adr: x}", "http.adr: ignored, there is no such key; did you mean http.addr?"),
    "an unknown key like no other": ("http: {xyzzy: 1}", "http.xyzzy: ignored, there is no such key"),
    "a key that is not carried out": ("log: {reportcaller: true}", "log.reportcaller: not carried out, "),
    "a list that is not carried out": (
        "notifications: {endpoints: [{name: x}]}",
        "notifications.endpoints: not carried",
    ),
}
SILENT = {
    "a key that is carried out": "http: {addr: ':1'}",
    "a key that asks for what is so anyway": "http: {secret: x, http2: {disabled: true}}",
    "a key that is off": "log: {reportcaller: false}",
    "a section that says nothing": "notifications: {endpoints: []}",
    "an unknown key that says nothing": "http: {xyzzy: }",
    "keys of the operator's own": "http: {headers: {Xyzzy: [a]}}\nlog: {fields: {xyzzy: 1}}",
}


def warnings_of(text: str) -> list[str]:
    return parse(f"version: 0.1\nstorage: {{inmemory: {{}}}}\n{text}", {})[1]


@pytest.mark.parametrize(("text", "told"), TOLD.values(), ids=TOLD.keys())
def test_the_operator_is_told_of(text: str, told: str) -> None:
    [warning] = warnings_of(text)
    assert warning.startswith(told)


@pytest.mark.parametrize("text", SILENT.values(), ids=SILENT.keys())
def test_nothing_is_said_about(text: str) -> None:
    assert warnings_of(text) == []


def test_a_key_without_which_it_would_be_another_service_is_refused() -> None:
    [error] = check({"proxy": {"remoteurl": "https://registry-1.docker.io"}}).errors
    assert error.startswith("proxy: ")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_configs_that_we_ship_cause_no_warning(path: Path) -> None:
    assert check(yaml.safe_load(path.read_text())) == Notes()


def keys_of(kind: type, path: str = "") -> Iterator[str]:
    """Every key that the schema carries out."""
    for field in msgspec.structs.fields(kind):
        place = f"{path}.{field.encode_name}" if path else field.encode_name
        inner = [part for part in (field.type, *getattr(field.type, "__args__", ())) if isinstance(part, type)]
        sections = [part for part in inner if issubclass(part, msgspec.Struct)]
        if sections:
            yield from keys_of(sections[0], place)
        else:
            yield place


def is_known(path: str) -> bool:
    """Return True if the surface has this key, or says of a section above it that it is not carried out."""
    surface: Surface = SURFACE
    for part in path.split("."):
        while isinstance(surface, Items):
            surface = surface.of
        if isinstance(surface, Free | Key):
            return isinstance(surface, Free) or bool(surface.instead)
        if part not in surface:
            return False
        surface = surface[part]
    return True


@pytest.mark.parametrize("path", list(keys_of(Config)))
def test_an_operator_is_not_told_that_there_is_no_such_key(path: str) -> None:
    assert re.fullmatch(r"[a-z.-]+", path)
    assert is_known(path)


@pytest.mark.parametrize("path", ["http.adr", "http.addr.port", "health", "nothing"])
def test_a_key_is_known_only_if_the_surface_has_it(path: str) -> None:
    assert is_known(path) == (path == "health")
