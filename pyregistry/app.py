"""START HERE: the only file that sees config, storage, auth and the API together."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from pyregistry.api.connection import ConnectionLimits
from pyregistry.api.context import AUTHENTICATOR, AUTHORIZER, REGISTRY, SETTINGS, TOKENS, Settings
from pyregistry.api.middleware import access, add_headers, errors
from pyregistry.api.routes import add_routes
from pyregistry.auth.access import AllowAll, Authenticator, Open
from pyregistry.auth.htpasswd import HtpasswdAuthenticator
from pyregistry.auth.keys import KeyRing
from pyregistry.auth.policy import Policy, PolicyInvalid
from pyregistry.auth.policy_file import CurrentPolicy, PolicyFile
from pyregistry.auth.silly import SillyAuthenticator
from pyregistry.auth.token_server import AUTO_REDIRECT_PATH, TokenServer, TokenServerAuthenticator
from pyregistry.auth.tokens import TokenAuthenticator, TokenService
from pyregistry.auth.trusted_keys import ALGORITHMS, KeysInvalid
from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Config, Token
from pyregistry.storage import layout
from pyregistry.storage.driver import Driver
from pyregistry.storage.filesystem import FilesystemDriver
from pyregistry.storage.memory import MemoryDriver
from pyregistry.storage.purging import Purging, purge_regularly
from pyregistry.storage.registry import Registry
from pyregistry.storage.repository import Rules
from pyregistry.storage.secrets import Secret


def create_app(
    config: Config, authenticator: Authenticator | None = None, policy: CurrentPolicy | None = None
) -> web.Application:
    """The whole service as an aiohttp application. Blocks: it opens the storage.

    `authenticator` and `policy` are made before for a worker that has to start while a file of theirs is of no use.

    Raises OSError if the data directory cannot be used, HtpasswdInvalid, ConfigError.
    """
    # client_max_size concerns request.read() only, which nothing calls: bodies have limits of their own.
    app = web.Application(middlewares=[errors, access])
    app[SETTINGS] = _settings(config)
    driver = _driver(config)
    app[REGISTRY] = Registry(driver, _rules(config))
    policy = policy or create_policy(config)
    _add_authenticator(app, authenticator or create_authenticator(config))
    _add_policy(app, policy)
    _add_tokens(app, config, policy, driver)
    _add_purging(app, config)
    add_routes(app, app[SETTINGS].prefix)
    app.on_response_prepare.append(add_headers)
    return app


def create_authenticator(config: Config) -> Authenticator:
    """What `auth` says. Blocks: it reads the htpasswd file, or keys. Raises HtpasswdInvalid, ConfigError."""
    silly, htpasswd = config.auth.silly, config.auth.htpasswd
    if config.auth.token is not None:
        return _token_server(config.auth.token)
    if silly is not None:
        return SillyAuthenticator(silly.realm, silly.service)
    if htpasswd is not None:
        return HtpasswdAuthenticator(Path(htpasswd.path), htpasswd.realm)
    return Open()


def create_policy(config: Config) -> CurrentPolicy | None:
    """What `pyregistry.access` says; None: whoever gets in may do everything. Blocks. Raises ConfigError."""
    rules, groups = config.pyregistry.access, config.pyregistry.groups
    try:
        if isinstance(rules, str):
            return PolicyFile(Path(rules))
        return CurrentPolicy(Policy.parse(rules, groups)) if rules is not None else None
    except PolicyInvalid as error:
        place = f": {rules}: " if isinstance(rules, str) else ""
        raise ConfigError(f"pyregistry.access{place}{error}") from error


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


def _token_server(section: Token) -> TokenServerAuthenticator:
    for name in section.signing_algorithms:
        if name not in ALGORITHMS:
            raise ConfigError(
                f"auth.token.signingalgorithms: {name!r}, expected some of {', '.join(sorted(ALGORITHMS))}"
            )
    server = TokenServer(
        section.realm,
        section.service,
        section.issuer,
        Path(section.root_cert_bundle) if section.root_cert_bundle else None,
        Path(section.jwks) if section.jwks else None,
        frozenset(section.signing_algorithms),
        (section.auto_redirect_path or AUTO_REDIRECT_PATH) if section.auto_redirect else None,
    )
    try:
        return TokenServerAuthenticator(server)
    except KeysInvalid as error:
        raise ConfigError(str(error)) from error


def _add_policy(app: web.Application, policy: CurrentPolicy | None) -> None:
    if policy is None:
        app[AUTHORIZER] = AllowAll()
        return
    policy.refresh()  # it may have been made long before this worker, with rules that were taken back since
    app[AUTHORIZER] = policy

    async def watch(app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(policy.watch())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    app.cleanup_ctx.append(watch)


def _add_tokens(app: web.Application, config: Config, policy: CurrentPolicy | None, driver: Driver) -> None:
    """Beside the htpasswd file of a registry with a policy, which may let anonymous callers in."""
    app[TOKENS] = None
    passwords, section = app[AUTHENTICATOR], config.auth.htpasswd
    if policy is not None and section is not None and isinstance(passwords, HtpasswdAuthenticator):
        keys = KeyRing(Secret(driver, layout.TOKEN_KEYS))
        app[TOKENS] = tokens = TokenService(passwords, section.realm, keys, policy)
        app[AUTHENTICATOR] = TokenAuthenticator(tokens, passwords, policy)


def _add_authenticator(app: web.Application, authenticator: Authenticator) -> None:
    app[AUTHENTICATOR] = authenticator
    if isinstance(authenticator, HtpasswdAuthenticator):

        async def close(app: web.Application) -> AsyncIterator[None]:
            yield
            authenticator.close()

        app.cleanup_ctx.append(close)
