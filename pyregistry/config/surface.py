"""Every key that the CNCF registry (2.8 and 3.x) has, and ours: what is a section, and what becomes of a key.

Written down once, it serves three questions: how far a variable's name reaches into the file, whether a key is known
at all, and what to tell an operator whose key is accepted but not carried out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


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
DRIVERS: Section = {
    "filesystem": {
        "rootdirectory": DONE,
        "maxthreads": _not_done("the number of threads follows that of the processors"),
    },
    "inmemory": {},
}
CLOUD_DRIVERS = frozenset({"s3", "s3aws", "gcs", "azure", "swift", "oss"})
"""The CNCF registry's others; a config with one of them is refused as a whole."""

_LOG: Section = {
    "accesslog": {"disabled": DONE},
    "level": DONE,
    "formatter": DONE,
    "fields": Free(),
    "reportcaller": _not_done("lines do not name their place in the code"),
    "hooks": Items(Free(), "no mail is sent"),
}
_STORAGE: Section = {
    **DRIVERS,
    **dict.fromkeys(CLOUD_DRIVERS, Free()),
    "delete": {"enabled": DONE},
    "redirect": {"disable": _NO_NEED},
    "cache": {"blobdescriptor": _NO_NEED, "layerinfo": _NO_NEED, "blobdescriptorsize": _NO_NEED},
    "maintenance": {
        "uploadpurging": {"enabled": DONE, "age": DONE, "interval": DONE, "dryrun": DONE},
        "readonly": {"enabled": DONE},
    },
    "tag": {"concurrencylimit": _NO_NEED},
}
_AUTH: Section = {
    "htpasswd": {"realm": DONE, "path": DONE},
    "silly": {"realm": DONE, "service": DONE},
    "token": {
        "realm": DONE,
        "service": DONE,
        "issuer": DONE,
        "rootcertbundle": DONE,
        "jwks": DONE,
        "signingalgorithms": WORDS,
        "autoredirect": DONE,
        "autoredirectpath": DONE,
    },
    "none": DONE,
}
_HTTP: Section = {
    "addr": DONE,
    "net": DONE,
    "host": DONE,
    "prefix": DONE,
    "secret": _NO_NEED,
    "relativeurls": DONE,
    "draintimeout": DONE,
    "headers": Free(),
    "tls": {
        "certificate": DONE,
        "key": DONE,
        "clientcas": WORDS,
        "clientauth": DONE,
        "minimumtls": DONE,
        "ciphersuites": Items(DONE, "the cipher suites are those of OpenSSL's default"),
        "letsencrypt": _refused("certificates are not fetched; give certificate and key, or put a proxy in front"),
    },
    "debug": {"addr": DONE, "prometheus": {"enabled": DONE, "path": DONE}},
    "http2": {"disabled": _NO_NEED},
    "h2c": {"enabled": _not_done("connections are HTTP/1.1")},
}
_EVERY: Section = {"interval": DONE, "threshold": DONE}
_HEALTH: Section = {
    "storagedriver": {"enabled": DONE, **_EVERY},
    "file": Items({"file": DONE, **_EVERY}),
    "http": Items({"uri": DONE, "headers": Free(), "statuscode": DONE, "timeout": DONE, **_EVERY}),
    "tcp": Items({"addr": DONE, "timeout": DONE, **_EVERY}),
}
_VALIDATION: Section = {
    "enabled": DONE,
    "disabled": DONE,
    "manifests": {
        "urls": {"allow": WORDS, "deny": WORDS},
        "indexes": {
            "platforms": DONE,
            "platformlist": Items({"os": DONE, "architecture": DONE}),
        },
    },
}
_OWN: Section = {
    "workers": DONE,
    "sparse": DONE,
    "metrics": DONE,
    "warnings": WORDS,
    "access": Items({"repositories": WORDS, "who": WORDS, "actions": WORDS}),
    "groups": Free(),
    "trusted-proxies": WORDS,
    "default-platform": DONE,
    "fast-path": DONE,
    "limits": {
        "manifest-size": DONE,
        "blob-size": DONE,
        "connections": DONE,
        "connections-per-address": DONE,
        "header-deadline": DONE,
        "keepalive": DONE,
        "send-deadline": DONE,
        "send-rate": DONE,
        "body-rate": DONE,
    },
    "gc": {"interval": DONE, "grace": DONE, "delete-untagged": DONE, "i-know": DONE},
}
_MIDDLEWARE = Items(Free(), "downloads come from this server, and nothing stands in between")

SURFACE: Section = {
    "version": DONE,
    "loglevel": DONE,
    "log": _LOG,
    "storage": _STORAGE,
    "auth": _AUTH,
    "middleware": {"registry": _MIDDLEWARE, "repository": _MIDDLEWARE, "storage": _MIDDLEWARE},
    "http": _HTTP,
    "notifications": {
        "events": {"includereferences": _not_done("no events are sent")},
        "endpoints": Items(Free(), "no events are sent"),
    },
    "redis": Free(),
    "health": _HEALTH,
    "catalog": {"maxentries": DONE},
    "tags": {"maxtags": DONE},
    "proxy": _refused("a pull-through cache is not supported"),
    "validation": _VALIDATION,
    "policy": {"repository": {"classes": Items(DONE, "images and plugins are both accepted")}},
    "compatibility": {"schema1": _not_done("Docker schema 1 manifests are refused")},
    "reporting": _not_done("nothing is reported to bugsnag or newrelic"),
    "pyregistry": _OWN,
}
"""The whole file. `redis` is accepted: our caches need none."""
