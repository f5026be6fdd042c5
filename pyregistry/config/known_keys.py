"""Every key that the CNCF registry (2.8 and 3.x) has, and ours: what is a section, and what becomes of a key.

Keys that are carried out come from the structs of `schema`; those that only the CNCF registry carries out are listed
here. The whole serves three questions: how far a variable's name reaches into the file, whether a key is known at all,
and what to tell an operator whose key is accepted but not carried out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, get_args, get_origin

import msgspec

from pyregistry.config.error_messages import alternatives, is_section
from pyregistry.config.schema import Auth, Config, Storage


@dataclass(frozen=True, slots=True)
class Key:
    """A key with a value; `instead` says what happens where it is not carried out, empty if it is."""

    instead: str = ""
    refused: bool = False
    """Without this key it would be another service, so that ignoring it is not an answer."""


@dataclass(frozen=True, slots=True)
class Free:
    """A map whose keys are the operator's: header names, log fields."""


@dataclass(frozen=True, slots=True)
class Items:
    """A list; `of` is what each item is."""

    of: "Surface"
    instead: str = ""


Section: TypeAlias = Mapping[str, "Surface"]
Surface: TypeAlias = Key | Free | Items | Section

DONE = Key()
WORDS = Items(DONE)


def _not_done(instead: str) -> Key:
    return Key(instead)


def _refused(instead: str) -> Key:
    return Key(instead, refused=True)


_NO_NEED = DONE
"""Accepted in silence: what it asks for is so anyway."""
CLOUD_DRIVERS = frozenset({"s3", "s3aws", "gcs", "azure", "swift", "oss"})
"""The CNCF registry's others; a config with one of them is refused as a whole."""
_MIDDLEWARE = Items(Free(), "downloads come from this server, and nothing stands in between")

_MORE: Section = {
    "loglevel": DONE,
    "log": {
        "reportcaller": _not_done("lines do not name their place in the code"),
        "hooks": Items(Free(), "no mail is sent"),
    },
    "storage": {
        "filesystem": {"maxthreads": _not_done("the number of threads follows that of the processors")},
        **dict.fromkeys(CLOUD_DRIVERS, Free()),
        "redirect": {"disable": _NO_NEED},
        "cache": {"blobdescriptor": _NO_NEED, "layerinfo": _NO_NEED, "blobdescriptorsize": _NO_NEED},
        "tag": {"concurrencylimit": _NO_NEED},
    },
    "auth": {"none": DONE},
    "middleware": {"registry": _MIDDLEWARE, "repository": _MIDDLEWARE, "storage": _MIDDLEWARE},
    "http": {
        "secret": _NO_NEED,
        "tls": {
            "ciphersuites": Items(DONE, "the cipher suites are those of OpenSSL's default"),
            "letsencrypt": _refused("certificates are not fetched; give certificate and key, or put a proxy in front"),
        },
        "http2": {"disabled": _NO_NEED},
        "h2c": {"enabled": _not_done("connections are HTTP/1.1")},
    },
    "notifications": {
        "events": {"includereferences": _not_done("no events are sent")},
        "endpoints": Items(Free(), "no events are sent"),
    },
    "redis": Free(),
    "proxy": _refused("a pull-through cache is not supported"),
    "validation": {"enabled": DONE},
    "policy": {"repository": {"classes": Items(DONE, "images and plugins are both accepted")}},
    "compatibility": {"schema1": _not_done("Docker schema 1 manifests are refused")},
    "reporting": _not_done("nothing is reported to bugsnag or newrelic"),
    "pyregistry": {"access": Items({"repositories": WORDS, "who": WORDS, "actions": WORDS})},
}
"""Keys that no struct has, and the rules of access, which are understood later. `redis` is accepted: our caches need
none."""


def _carried_out(kind: Any) -> Surface:
    """Return the keys of a type of the config: those of a struct, an item of a list, or none."""
    [first, *_] = alternatives(kind)
    if is_section(first):
        return {field.encode_name: _carried_out(field.type) for field in msgspec.structs.fields(first)}
    if get_origin(first) is list:
        return Items(_carried_out(get_args(first)[0]))
    return Free() if get_origin(first) is dict else DONE


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


SURFACE: Section = _section(_merge(_carried_out(Config), _MORE))
"""The whole file."""
DRIVERS = frozenset(field.encode_name for field in msgspec.structs.fields(Storage) if field.default is None)
"""Drivers of `storage`, of which a config chooses one."""
AUTH_KINDS = frozenset({"none", *(field.encode_name for field in msgspec.structs.fields(Auth))})
"""Kinds of `auth`, of which a config chooses at most one."""
