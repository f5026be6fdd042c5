"""START HERE: the only file that sees config, storage, auth and the API together."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from pyregistry.api.connection import ConnectionLimits
from pyregistry.api.context import AUTHENTICATOR, AUTHORIZER, HOT_BLOBS, HOT_MANIFESTS, REGISTRY, SETTINGS, Settings
from pyregistry.api.middleware import access, add_headers, errors
from pyregistry.api.routes import add_routes
from pyregistry.auth.access import AllowAll, Authenticator, Open
from pyregistry.auth.htpasswd import HtpasswdAuthenticator
from pyregistry.auth.silly import SillyAuthenticator
from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Config
from pyregistry.storage.cache import HotBlobs, HotManifests
from pyregistry.storage.driver import Driver
from pyregistry.storage.filesystem import FilesystemDriver
from pyregistry.storage.memory import MemoryDriver
from pyregistry.storage.purging import Purging, purge_regularly
from pyregistry.storage.registry import Registry
from pyregistry.storage.repository import Rules


def create_app(config: Config, authenticator: Authenticator | None = None) -> web.Application:
    """The whole service as an aiohttp application. Blocks: it opens the storage.

    `authenticator` is one that was made before, for a worker that has to start while the htpasswd file is of no use.

    Raises OSError if the data directory cannot be used, HtpasswdInvalid, ConfigError.
    """
    # client_max_size concerns request.read() only, which nothing calls: bodies have limits of their own.
    app = web.Application(middlewares=[errors, access])
    app[SETTINGS] = _settings(config)
    driver = _driver(config)
    app[REGISTRY] = Registry(driver, _rules(config))
    app[HOT_MANIFESTS], app[HOT_BLOBS] = HotManifests(driver), HotBlobs(driver)
    app[AUTHORIZER] = AllowAll()
    _add_authenticator(app, authenticator or create_authenticator(config))
    _add_purging(app, config)
    add_routes(app, app[SETTINGS].prefix)
    app.on_response_prepare.append(add_headers)
    return app


def create_authenticator(config: Config) -> Authenticator:
    """What `auth` says. Blocks: it reads the htpasswd file. Raises HtpasswdInvalid."""
    silly, htpasswd = config.auth.silly, config.auth.htpasswd
    if silly is not None:
        return SillyAuthenticator(silly.realm, silly.service)
    if htpasswd is not None:
        return HtpasswdAuthenticator(Path(htpasswd.path), htpasswd.realm)
    return Open()


def connection_limits(config: Config) -> ConnectionLimits:
    """What `pyregistry.limits` says about connections."""
    limits = config.pyregistry.limits
    return ConnectionLimits(
        header_deadline=limits.header_deadline,
        keepalive=limits.keepalive,
        connections=limits.connections,
        connections_per_address=limits.connections_per_address,
    )


def _driver(config: Config) -> Driver:
    if config.storage.filesystem is None:
        return MemoryDriver()
    root = Path(config.storage.filesystem.root_directory)
    root.mkdir(parents=True, exist_ok=True)
    driver = FilesystemDriver(root)
    driver.probe()
    return driver


def _rules(config: Config) -> Rules:
    lenient = config.validation.disabled or config.pyregistry.sparse
    manifests = config.validation.manifests
    platforms = None
    if lenient or manifests.indexes.platforms == "none":
        platforms = frozenset[tuple[str, str]]()
    elif manifests.indexes.platforms == "list":
        platforms = frozenset((each.os, each.architecture) for each in manifests.indexes.platform_list)
    return Rules(
        max_manifest_size=config.pyregistry.limits.manifest_size,
        max_blob_size=config.pyregistry.limits.blob_size,
        require_blobs=not lenient,
        required_platforms=platforms,
        allowed_urls=_patterns("allow", manifests.urls.allow),
        denied_urls=_patterns("deny", manifests.urls.deny),
    )


def _patterns(key: str, expressions: list[str]) -> tuple[re.Pattern[str], ...]:
    try:
        return tuple(re.compile(expression) for expression in expressions)
    except re.error as error:
        raise ConfigError(f"validation.manifests.urls.{key}: {error.pattern!r}: {error}") from error


def _settings(config: Config) -> Settings:
    return Settings(
        delete_enabled=config.storage.delete.enabled,
        read_only=config.storage.maintenance.readonly.enabled,
        prefix=config.http.prefix.rstrip("/"),
        origin=config.http.host.rstrip("/"),
        # In one line, as Go sends them: YAML's `|` leaves a newline at the end.
        headers=tuple(
            (name, " ".join(value.splitlines())) for name, values in config.http.headers.items() for value in values
        ),
        max_manifest_size=config.pyregistry.limits.manifest_size,
        max_blob_size=config.pyregistry.limits.blob_size,
        max_catalog_entries=config.catalog.max_entries if config.catalog.max_entries > 0 else 1_000,
        max_tags=config.tags.max_tags or 1_000,
        min_body_rate=config.pyregistry.limits.body_rate,
        warnings=tuple(config.pyregistry.warnings),
    )


def _add_purging(app: web.Application, config: Config) -> None:
    section = config.storage.maintenance.upload_purging
    if not section.enabled or config.storage.maintenance.readonly.enabled:
        return
    purging = Purging(section.age, section.interval, section.dry_run)

    async def purge(app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(purge_regularly(app[REGISTRY], purging))
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    app.cleanup_ctx.append(purge)


def _add_authenticator(app: web.Application, authenticator: Authenticator) -> None:
    app[AUTHENTICATOR] = authenticator
    if isinstance(authenticator, HtpasswdAuthenticator):

        async def close(app: web.Application) -> AsyncIterator[None]:
            yield
            authenticator.close()

        app.cleanup_ctx.append(close)
