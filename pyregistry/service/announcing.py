"""Log lines at the start: version, data directory, rules and address."""

import os
import socket
from ipaddress import ip_address

import structlog

from pyregistry import __version__
from pyregistry.config.schema import Config
from pyregistry.service.location import location_of
from pyregistry.service.sockets import address_of
from pyregistry.storage.local.number_of_repositories import count_repositories, has_blobs

log = structlog.get_logger("pyregistry.server")

_ALL = frozenset({"::", "0.0.0.0"})  # noqa: S104 - recognized, not listened on
_CHECK = "check storage.filesystem.rootdirectory and its volume if there should be images"


def announce_version() -> None:
    """Log the version, after the config was found valid."""
    log.info("pyregistry starts", version=__version__, pid=os.getpid())


def is_new(config: Config) -> bool:
    """Return True if the start will create the data directory."""
    directory = location_of(config).directory
    return directory is not None and not directory.exists()


def announce_storage(config: Config, *, was_made: bool) -> None:
    """Log the data directory with its number of repositories; an empty one is a warning. Blocks for about a second."""
    location = location_of(config)
    if not location.is_shared:
        log.warning("images are kept in memory and lost when this process ends: set storage.filesystem to keep them")
    if location.directory is None:
        return
    root = location.directory.absolute()
    if was_made:
        log.warning(f"the data directory was missing and has been created: {_CHECK}", directory=str(root))
        return
    repositories = count_repositories(root)
    if repositories != "0":
        log.info("data directory", directory=str(root), repositories=repositories)
    elif has_blobs(root):
        event = "the data directory has blobs and no repositories: check that all of its volumes are mounted"
        log.warning(event, directory=str(root))
    else:
        log.warning(f"the data directory is empty: {_CHECK}", directory=str(root))


def announce_rules(config: Config) -> None:
    """Log the settings of access, deletion, TLS and garbage collection."""
    tls, interval = config.http.tls, config.pyregistry.gc.interval
    log.info(
        "settings",
        auth=_auth(config),
        rules="pyregistry.access" if config.pyregistry.access is not None else "none",
        tls=tls.certificate or "off",
        delete=_writes(config),
        gc=f"every {interval}" if interval and not _is_read_only(config) else "only by `pyregistry gc`",
    )


def announce_address(config: Config, listening: socket.socket, workers: int) -> None:
    """Log a warning if the address lets strangers delete images, then the address."""
    if _lets_strangers_delete(config) and _is_reached_by_others(listening):
        port = listening.getsockname()[1]
        local = f"127.0.0.1:{port}"
        log.warning(
            "every machine that reaches this address may push, pull and delete without a password: set auth.htpasswd "
            f"for passwords, http.addr: {local} (for a container -p {local}:{port}) for this machine alone, or "
            "storage.delete.enabled: false",
            address=address_of(listening),
        )
    log.info("listening", url=url_of(config, listening), address=address_of(listening), workers=workers)


def url_of(config: Config, listening: socket.socket) -> str:
    """Return the URL for a client on this machine, or that of `http.host`; `unix:PATH` for a unix socket."""
    name = listening.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    prefix = f"/{config.http.prefix.strip('/')}" if config.http.prefix.strip("/") else ""
    if config.http.host:
        return config.http.host.rstrip("/") + prefix
    scheme = "https" if config.http.tls.certificate else "http"
    address = f"localhost:{name[1]}" if name[0] in _ALL else address_of(listening)
    return f"{scheme}://{address}{prefix}"


def _auth(config: Config) -> str:
    kinds = [kind for kind in ("htpasswd", "token", "silly") if getattr(config.auth, kind) is not None]
    return kinds[0] if kinds else "none"


def _writes(config: Config) -> str:
    if _is_read_only(config):
        return "off, as are pushes (storage.maintenance.readonly)"
    return "on" if config.storage.delete.enabled else "off"


def _lets_strangers_delete(config: Config) -> bool:
    tls = config.http.tls
    asks_for_certificate = bool(tls.client_cas) and tls.client_auth != "verify-client-cert-if-given"
    asks = asks_for_certificate or _auth(config) not in {"none", "silly"}
    may_delete = config.storage.delete.enabled and not _is_read_only(config)
    return may_delete and not asks and config.pyregistry.access is None  # rules define what strangers may do


def _is_read_only(config: Config) -> bool:
    return config.storage.maintenance.readonly.enabled


def _is_reached_by_others(listening: socket.socket) -> bool:
    name = listening.getsockname()
    return not isinstance(name, str) and not ip_address(name[0].partition("%")[0]).is_loopback
