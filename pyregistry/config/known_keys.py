"""Every key of the CNCF registry (2.8 and 3.x), and ours.

Supported keys come from the structs of `schema`; keys that only the CNCF registry supports are listed here. The table
resolves names of variables, finds unknown keys, and has a note for each key without support.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args, get_origin

import msgspec

from pyregistry.config.error_messages import alternatives, is_section
from pyregistry.config.schema import Auth, Config, Storage


@dataclass(frozen=True, slots=True)
class Key:
    """A key with a value; `note` says what happens without support for it, empty if it is supported."""

    note: str = ""
    rejected: bool = False
    """The key changes the service so much that ignoring it is not safe."""


@dataclass(frozen=True, slots=True)
class AnyMap:
    """A map with any keys: header names, log fields."""


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; `of` describes its items."""

    of: "Surface"
    note: str = ""


Section: TypeAlias = Mapping[str, "Surface"]
Surface: TypeAlias = Key | AnyMap | ListOf | Section

SUPPORTED = Key()
STRINGS = ListOf(SUPPORTED)


def _unsupported(note: str) -> Key:
    return Key(note)


def _rejected(note: str) -> Key:
    return Key(note, rejected=True)


_ALREADY_SO = SUPPORTED
"""Accepted; already the behaviour."""
CLOUD_DRIVERS = frozenset({"s3", "s3aws", "gcs", "azure", "swift", "oss"})
"""Drivers of the CNCF registry without support; a config with one of them is invalid."""
_MIDDLEWARE = ListOf(AnyMap(), "downloads come from this server, with nothing in between")

_MORE: Section = {
    "loglevel": SUPPORTED,
    "log": {
        "reportcaller": _unsupported("lines do not name their place in the code"),
        "hooks": ListOf(AnyMap(), "no mail is sent"),
    },
    "storage": {
        "filesystem": {"maxthreads": _unsupported("the number of threads follows that of the processors")},
        **dict.fromkeys(CLOUD_DRIVERS, AnyMap()),
        "redirect": {"disable": _ALREADY_SO},
        "cache": {"blobdescriptor": _ALREADY_SO, "layerinfo": _ALREADY_SO, "blobdescriptorsize": _ALREADY_SO},
        "tag": {"concurrencylimit": _ALREADY_SO},
    },
    "auth": {"none": SUPPORTED},
    "middleware": {"registry": _MIDDLEWARE, "repository": _MIDDLEWARE, "storage": _MIDDLEWARE},
    "http": {
        "secret": _ALREADY_SO,
        "tls": {
            "ciphersuites": ListOf(SUPPORTED, "the cipher suites are those of OpenSSL's default"),
            "letsencrypt": _rejected("certificates are not fetched; give certificate and key, or put a proxy in front"),
        },
        "http2": {"disabled": _ALREADY_SO},
        "h2c": {"enabled": _unsupported("connections are HTTP/1.1")},
    },
    "notifications": {
        "events": {"includereferences": _unsupported("no events are sent")},
        "endpoints": ListOf(AnyMap(), "no events are sent"),
    },
    "redis": AnyMap(),
    "proxy": _rejected("a pull-through cache is not supported"),
    "validation": {"enabled": SUPPORTED},
    "policy": {"repository": {"classes": ListOf(SUPPORTED, "images and plugins are both accepted")}},
    "compatibility": {"schema1": _unsupported("Docker schema 1 manifests are refused")},
    "reporting": _unsupported("nothing is reported to bugsnag or newrelic"),
    "pyregistry": {"access": ListOf({"repositories": STRINGS, "who": STRINGS, "actions": STRINGS})},
}
"""Keys without a struct, and access rules, which are parsed later. `redis` is accepted: our caches do not need it."""


def _supported(kind: Any) -> Surface:
    """Return the keys of a type of the config, which may be a struct or a list of structs."""
    [first, *_] = alternatives(kind)
    if is_section(first):
        return {field.encode_name: _supported(field.type) for field in msgspec.structs.fields(first)}
    if get_origin(first) is list:
        return ListOf(_supported(get_args(first)[0]))
    return AnyMap() if get_origin(first) is dict else SUPPORTED


def _merge(section: Surface, more: Surface) -> Surface:
    if not isinstance(section, Mapping):
        return more
    if not isinstance(more, Mapping):  # a driver that was not supported until it got its struct
        return section
    common = {key: _merge(below, more[key]) if key in more else below for key, below in section.items()}
    return {**more, **common}


def _section(surface: Surface) -> Section:
    assert isinstance(surface, Mapping)
    return surface


SURFACE: Section = _section(_merge(_supported(Config), _MORE))
"""The whole file."""
DRIVERS = frozenset(field.encode_name for field in msgspec.structs.fields(Storage) if field.default is None)
"""Drivers of `storage`, of which a config chooses one."""
AUTH_KINDS = frozenset({"none", *(field.encode_name for field in msgspec.structs.fields(Auth))})
"""Kinds of `auth`, of which a config chooses at most one."""
