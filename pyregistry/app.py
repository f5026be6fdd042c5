"""START HERE: the only file that sees config, storage, auth and the API together."""

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from aiohttp import web

from pyregistry.api.connection import ConnectionLimits
from pyregistry.api.context import (
    AUTHENTICATOR,
    AUTHORIZER,
    HEALTH,
    METRICS,
    READINESS,
    REGISTRY,
    SETTINGS,
    Settings,
)
from pyregistry.api.middleware import access, add_headers, errors, healthy, measuring
from pyregistry.api.request_id import identify
from pyregistry.api.routes import add_routes
from pyregistry.auth.access import AllowAll, Authenticator, Open
from pyregistry.auth.htpasswd import HtpasswdAuthenticator
from pyregistry.auth.silly import SillyAuthenticator
from pyregistry.checks import checks
from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Config
from pyregistry.config.schema import Health as HealthSection
from pyregistry.gc.last_run import GC_FIGURES, last_figure
from pyregistry.gc.outcome import Options
from pyregistry.gc.schedule import Schedule, collect_regularly
from pyregistry.health import Health, InThread, Readiness
from pyregistry.metrics import Metrics
from pyregistry.storage.driver import Driver
from pyregistry.storage.filesystem import FilesystemDriver
from pyregistry.storage.measured import MeasuredDriver
from pyregistry.storage.memory import MemoryDriver
from pyregistry.storage.purging import Purging, purge_regularly
from pyregistry.storage.registry import Registry
from pyregistry.storage.rules import Rules
from pyregistry.storage.threads import in_thread


def create_app(
    config: Config, authenticator: Authenticator | None = None, metrics: Metrics | None = None
) -> web.Application:
    """The whole service as an aiohttp application. Blocks: it opens the storage.

    `authenticator` is one that was made before, for a worker that has to start while the htpasswd file is of no use.
    Without `metrics` nothing is counted.

    Raises OSError if the data directory cannot be used, HtpasswdInvalid, ConfigError.
    """
    # client_max_size concerns request.read() only, which nothing calls: bodies have limits of their own.
    outer = [identify] if metrics is None else [identify, measuring(metrics)]
    inner = [healthy, access] if _has_checks(config.health) else [access]
    app = web.Application(middlewares=[*outer, errors, *inner])
    app[SETTINGS] = _settings(config)
    driver = _driver(config)
    app[REGISTRY] = Registry(driver if metrics is None else _measured(driver, config, metrics), _rules(config))
    app[AUTHORIZER] = AllowAll()
    _add_authenticator(app, authenticator or create_authenticator(config))
    _add_purging(app, config)
    _add_garbage_collection(app, driver, config)
    _add_health(app, config)
    if metrics is not None:
        _add_metrics(app, config, metrics, driver)
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


def _measured(driver: Driver, config: Config, metrics: Metrics) -> Driver:
    name = "inmemory" if config.storage.filesystem is None else "filesystem"
    return MeasuredDriver(driver, partial(metrics.storage_action, name))


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
        grace=config.pyregistry.gc.grace,
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


def _add_garbage_collection(app: web.Application, driver: Driver, config: Config) -> None:
    section = config.pyregistry.gc
    if not section.interval or config.storage.maintenance.readonly.enabled:
        return
    schedule = Schedule(float(section.interval), gc_options(config))

    async def collect(app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(collect_regularly(driver, schedule))
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    app.cleanup_ctx.append(collect)


def gc_options(config: Config) -> Options:
    """What `pyregistry.gc` says about a run."""
    return Options(grace=float(config.pyregistry.gc.grace), delete_untagged=config.pyregistry.gc.delete_untagged)


def _has_checks(section: HealthSection) -> bool:
    return section != HealthSection()


def _add_health(app: web.Application, config: Config) -> None:
    registry = app[REGISTRY]
    health = Health(list(checks(config, registry.try_reading)))
    writes = None if config.storage.maintenance.readonly.enabled else InThread(registry.try_writing)
    app[HEALTH], app[READINESS] = health, Readiness(health, writes)
    app.cleanup_ctx.append(health.watch)
    for probe in (writes, *(check.probe for check in health.checks)):
        if isinstance(probe, InThread):
            app.cleanup_ctx.append(probe.closing)

    async def drain(app: web.Application) -> None:
        app[READINESS].draining = True

    app.on_shutdown.append(drain)


def _add_metrics(app: web.Application, config: Config, metrics: Metrics, driver: Driver) -> None:
    metrics.show("pyregistry_storage_room_bytes", "The bytes that uploads may still take.", app[REGISTRY].room)
    for figure, text in GC_FIGURES.items():
        metrics.show(f"pyregistry_gc_{figure}", text, partial(last_figure, driver, figure))
    if config.pyregistry.metrics:
        app[METRICS] = metrics


def _add_authenticator(app: web.Application, authenticator: Authenticator) -> None:
    app[AUTHENTICATOR] = authenticator
    if isinstance(authenticator, HtpasswdAuthenticator):

        async def run(app: web.Application) -> AsyncIterator[None]:
            await in_thread(authenticator.start)
            yield
            authenticator.close()

        app.cleanup_ctx.append(run)
