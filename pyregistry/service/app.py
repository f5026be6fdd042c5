"""START HERE: the only file that puts storage, auth, gc and the API together; `wiring` makes them from the config."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from pyregistry.api.fast_path import CachedResponses
from pyregistry.api.http.cached import CACHED_RESPONDER
from pyregistry.api.http.context import (
    AUTHENTICATOR,
    AUTHORIZER,
    BLOB_CACHE,
    HEALTH,
    LARGE_DOCUMENTS,
    MANIFEST_CACHE,
    METRICS,
    READINESS,
    REFUSED_TOKENS,
    REGISTRY,
    SETTINGS,
    TOKENS,
)
from pyregistry.api.http.decision import DECISION, Decision
from pyregistry.api.http.request_id import identify
from pyregistry.api.middleware import MIDDLEWARES, access, adding_headers, errors, healthy, measure
from pyregistry.api.routes import add_routes
from pyregistry.auth.access import AllowAll, Authenticator, LifeCycle
from pyregistry.auth.policy_file import CurrentPolicy
from pyregistry.common.lazy import lazy
from pyregistry.config.health_section import Health
from pyregistry.config.schema import Config
from pyregistry.observe.health import HealthChecks, InThread, Readiness, gets_locks
from pyregistry.observe.metrics import Metrics
from pyregistry.observe.observers import Observer, Observers
from pyregistry.service.health_config import checks
from pyregistry.service.location import open_backend
from pyregistry.service.wiring import (
    api_settings,
    create_authenticator,
    create_policy,
    gc_options,
    storage_rules,
)
from pyregistry.storage.backend import Backend
from pyregistry.storage.repositories.cache import MAX_ENTRIES, BlobCache, ManifestCache
from pyregistry.storage.repositories.purging import Purging, purge_regularly
from pyregistry.storage.repositories.secrets import Secret
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import renewed_after
from pyregistry.threads.offload import in_thread
from pyregistry.threads.pools import closing_pools

if TYPE_CHECKING:
    from pyregistry.auth import keys, tokens
    from pyregistry.gc import schedule as gc_schedule
    from pyregistry.service import gauges
else:
    keys = lazy("pyregistry.auth.keys")
    tokens = lazy("pyregistry.auth.tokens")
    gauges = lazy("pyregistry.service.gauges")
    gc_schedule = lazy("pyregistry.gc.schedule")


def create_app(  # noqa: PLR0913 - each part can be given by name, and none belongs to another
    config: Config,
    authenticator: Authenticator | None = None,
    policy: CurrentPolicy | None = None,
    metrics: Metrics | None = None,
    spare_secret: bytes | None = None,
    *,
    backend: Backend | None = None,
    observers: Sequence[Observer] = (),
) -> web.Application:
    """Return the whole service as an aiohttp application. Blocks: it opens the storage.

    `authenticator` and `policy` are made before the fork, as a worker must start even while their files are invalid.
    Without `metrics` nothing is counted. `spare_secret`, the same in all workers, signs tokens if no key can be stored.
    `backend` replaces the storage of the config.
    `observers` are notified of pushes, pulls and deletions; the caller starts and closes them.

    Raises OSError if the data directory cannot be used, ConfigError.
    """
    # client_max_size limits request.read() only, which nothing calls: bodies have their own limits.
    outer = [identify] if metrics is None else [identify, measure]
    inner = [healthy, access] if _has_checks(config.health) else [access]
    middlewares = (*outer, errors, *inner)
    app = web.Application(middlewares=middlewares)
    app[MIDDLEWARES] = middlewares
    app[SETTINGS], app[LARGE_DOCUMENTS] = api_settings(config), asyncio.Semaphore(1)
    app.cleanup_ctx.append(closing_pools)  # first in, so last out
    backend = backend or open_backend(config, make=True)
    served = backend if metrics is None else backend.measured(metrics.storage_action)
    app[REGISTRY] = served.registry(storage_rules(config))
    policy = policy or create_policy(config)
    # Not measured: these `stat` calls are the only ones that the event loop may make.
    renewal = renewed_after(config.pyregistry.gc.grace)
    if not config.storage.maintenance.readonly.enabled:
        with suppress(OSError):  # a read-only or full disk
            backend.coordinator.note_renewal(renewal)
    young_ns = round(renewal * 1e9)
    entries = MAX_ENTRIES if backend.location.is_quick else 0
    app[MANIFEST_CACHE] = ManifestCache(backend.objects, young_ns=young_ns, entries=entries)
    app[BLOB_CACHE] = BlobCache(backend.objects, young_ns=young_ns, entries=entries)
    authenticator = authenticator or create_authenticator(config)
    app[AUTHENTICATOR], app[REFUSED_TOKENS] = authenticator, Counter()
    _start_with_worker(app, authenticator)
    _add_policy(app, policy)
    _add_tokens(app, policy, backend, spare_secret)
    _add_purging(app, config)
    _add_garbage_collection(app, backend, config)
    _add_health(app, config)
    if metrics is not None:
        _add_metrics(app, config, metrics, backend, authenticator)
    add_routes(app, app[SETTINGS].prefix)
    app[DECISION] = Decision(app, metrics, Observers(observers))
    app[CACHED_RESPONDER] = CachedResponses(app)
    app.on_response_prepare.append(adding_headers(app[SETTINGS]))
    return app


def _add_policy(app: web.Application, policy: CurrentPolicy | None) -> None:
    if policy is None:
        app[AUTHORIZER] = AllowAll()
        return
    app[AUTHORIZER] = policy
    _start_with_worker(app, policy)


def _add_tokens(
    app: web.Application, policy: CurrentPolicy | None, backend: Backend, spare_secret: bytes | None
) -> None:
    """Add tokens to passwords if there is a policy, which may let anonymous callers in."""
    app[TOKENS] = None
    authenticator = app[AUTHENTICATOR]
    passwords = authenticator.passwords
    if policy is not None and passwords is not None:
        ring = keys.KeyRing(Secret(backend.objects, layout.TOKEN_KEYS, backend.coordinator), spare=spare_secret)
        app[TOKENS] = service = tokens.TokenService(passwords, passwords.realm, ring, policy)
        app[AUTHENTICATOR] = tokens.TokenAuthenticator(service, authenticator, policy)


def _add_purging(app: web.Application, config: Config) -> None:
    section = config.storage.maintenance.upload_purging
    if not section.enabled or config.storage.maintenance.readonly.enabled:
        return
    purging = Purging(section.age, section.interval, section.dry_run)
    _in_background(app, lambda: purge_regularly(app[REGISTRY], purging, structlog.get_logger("pyregistry.purging")))


def _add_garbage_collection(app: web.Application, backend: Backend, config: Config) -> None:
    section = config.pyregistry.gc
    if not section.interval or config.storage.maintenance.readonly.enabled:
        return
    schedule = gc_schedule.Schedule(float(section.interval), gc_options(config))
    _in_background(app, lambda: gc_schedule.collect_regularly(backend, schedule))


def _has_checks(section: Health) -> bool:
    return section != Health()


def _add_health(app: web.Application, config: Config) -> None:
    registry = app[REGISTRY]
    health = HealthChecks(list(checks(config, registry.try_reading)))
    writes = locks = None
    if not config.storage.maintenance.readonly.enabled:
        writes, locks = InThread(registry.try_writing), InThread(gets_locks(registry.try_locks))
    app[HEALTH], app[READINESS] = health, Readiness(health, writes, locks)
    app.cleanup_ctx.append(health.watch)
    for probe in (writes, locks, *(check.probe for check in health.checks)):
        if isinstance(probe, InThread):
            app.cleanup_ctx.append(probe.closing)

    async def drain(app: web.Application) -> None:
        app[READINESS].draining = True

    app.on_shutdown.append(drain)


def _add_metrics(
    app: web.Application, config: Config, metrics: Metrics, backend: Backend, authenticator: Authenticator
) -> None:
    gauges.register_app_gauges(app, config, metrics, backend, authenticator)
    if config.pyregistry.metrics:
        app[METRICS] = metrics


def _start_with_worker(app: web.Application, made: LifeCycle) -> None:
    """Start and close this part with the worker. It was made earlier, perhaps from an old content of its file."""

    async def run(app: web.Application) -> AsyncIterator[None]:
        await in_thread(made.start)
        yield
        made.close()

    app.cleanup_ctx.append(run)


def _in_background(app: web.Application, work: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run this while the application runs."""

    async def run(app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(work())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    app.cleanup_ctx.append(run)
