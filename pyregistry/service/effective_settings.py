"""Values that a server uses for settings that its config leaves open."""

import os
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from pyregistry.common.lazy import lazy
from pyregistry.config.health_section import FileCheck, Health, HttpCheck, StorageCheck, TcpCheck
from pyregistry.config.schema import Auth, Config, Http, Tls
from pyregistry.config.values import Duration
from pyregistry.service.health_config import INTERVAL_SECONDS
from pyregistry.service.location import location_of
from pyregistry.service.wiring import api_settings

if TYPE_CHECKING:
    from pyregistry.auth import token_server
else:
    token_server = lazy("pyregistry.auth.token_server")

MAX_WORKERS = 4
DRAIN_SECONDS = 30.0
"""Seconds that running requests may take after SIGTERM without `http.draintimeout`."""

_Check = TypeVar("_Check", StorageCheck, FileCheck, HttpCheck, TcpCheck)


def worker_count(config: Config) -> int:
    """Return `pyregistry.workers`, or one per processor; 1 for a storage in memory, which is not shared."""
    if not location_of(config).is_shared:
        return 1
    return config.pyregistry.workers or min(len(os.sched_getaffinity(0)), MAX_WORKERS)


def effective_config(config: Config) -> Config:
    """Return an equivalent config with each value that a server on this machine would use."""
    settings = api_settings(config)
    return replace(
        config,
        auth=_auth(config.auth),
        http=_http(config.http),
        health=_health(config.health),
        catalog=replace(config.catalog, max_entries=settings.max_catalog_entries),
        tags=replace(config.tags, max_tags=settings.max_tags),
        pyregistry=replace(config.pyregistry, workers=worker_count(config)),
    )


def _http(section: Http) -> Http:
    drain = section.drain_timeout or Duration(DRAIN_SECONDS)
    return replace(section, net=section.net or "tcp", drain_timeout=drain, tls=_tls(section.tls))


def _tls(section: Tls) -> Tls:
    if not section.certificate:
        return section
    auth = (section.client_auth or "require-and-verify-client-cert") if section.client_cas else section.client_auth
    return replace(section, client_auth=auth, minimum_tls="tls1.3" if section.minimum_tls == "tls1.3" else "tls1.2")


def _auth(section: Auth) -> Auth:
    token = section.token
    if token is None or not token.auto_redirect or token.auto_redirect_path:
        return section
    return replace(section, token=replace(token, auto_redirect_path=token_server.AUTO_REDIRECT_PATH))


def _health(section: Health) -> Health:
    return replace(
        section,
        storage_driver=_check(section.storage_driver),
        file=[_check(each) for each in section.file],
        http=[_with_timeout(_check(each)) for each in section.http],
        tcp=[_with_timeout(_check(each)) for each in section.tcp],
    )


def _check(section: _Check) -> _Check:
    return replace(
        section, interval=section.interval or Duration(INTERVAL_SECONDS), threshold=max(section.threshold, 1)
    )


def _with_timeout(section: _Check) -> _Check:
    return replace(section, timeout=getattr(section, "timeout", 0.0) or section.interval)
