"""Makes objects from the config: each gets the few values that it needs, and does not see the config."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pyregistry.api.http.context import Settings
from pyregistry.api.http.forwarded import TrustedProxies
from pyregistry.api.transport.limits import ConnectionLimits
from pyregistry.auth.access import Authenticator, NoAuthentication
from pyregistry.auth.htpasswd import HtpasswdAuthenticator, HtpasswdInvalid
from pyregistry.auth.policy import Policy, PolicyInvalid
from pyregistry.auth.policy_file import CurrentPolicy, PolicyFile
from pyregistry.auth.silly import SillyAuthenticator
from pyregistry.common.defaults import PAGE_ENTRIES
from pyregistry.common.expressions import Expression, compile_expression
from pyregistry.common.lazy import lazy
from pyregistry.config.access import WITHOUT_LOGIN, needs_login
from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Config, Htpasswd, Silly, Token
from pyregistry.storage.seams.rules import Rules

if TYPE_CHECKING:
    from pyregistry.auth import token_server, trusted_keys
    from pyregistry.gc import types as gc_types
else:
    gc_types = lazy("pyregistry.gc.types")
    token_server = lazy("pyregistry.auth.token_server")
    trusted_keys = lazy("pyregistry.auth.trusted_keys")


def storage_rules(config: Config) -> Rules:
    """Return the rules for content from `validation` and `pyregistry`; raise ConfigError."""
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
        allowed_urls=_expressions("allow", manifests.urls.allow),
        denied_urls=_expressions("deny", manifests.urls.deny),
        grace=config.pyregistry.gc.grace,
    )


def api_settings(config: Config) -> Settings:
    """Return the settings of the handlers."""
    proxies = config.pyregistry.trusted_proxies
    return Settings(
        delete_enabled=config.storage.delete.enabled,
        read_only=config.storage.maintenance.readonly.enabled,
        prefix=config.http.prefix.rstrip("/"),
        origin=_origin(config.http.host.rstrip("/"), config.http.prefix.rstrip("/")),
        relative_urls=config.http.relative_urls,
        # In one line, as Go sends them: YAML's `|` ends with a newline.
        headers=tuple(
            (name, " ".join(value.splitlines())) for name, values in config.http.headers.items() for value in values
        ),
        max_manifest_size=config.pyregistry.limits.manifest_size,
        max_blob_size=config.pyregistry.limits.blob_size,
        max_catalog_entries=config.catalog.max_entries if config.catalog.max_entries > 0 else PAGE_ENTRIES,
        max_tags=config.tags.max_tags or PAGE_ENTRIES,
        min_body_rate=config.pyregistry.limits.body_rate,
        proxies=TrustedProxies(proxies) if proxies is not None else None,
        warnings=tuple(config.pyregistry.warnings),
        default_platform=config.pyregistry.default_platform,
    )


def connection_limits(config: Config) -> ConnectionLimits:
    """Return the limits of connections from `pyregistry.limits`."""
    limits = config.pyregistry.limits
    return ConnectionLimits(
        header_deadline=limits.header_deadline,
        keepalive=limits.keepalive,
        send_deadline=limits.send_deadline,
        send_rate=limits.send_rate,
        connections=limits.connections,
        connections_per_address=limits.connections_per_address,
    )


def gc_options(config: Config) -> "gc_types.Options":
    """Return the options of a run from `pyregistry.gc`."""
    section = config.pyregistry.gc
    return gc_types.Options(grace=float(section.grace), delete_untagged=section.delete_untagged, i_know=section.i_know)


def create_authenticator(config: Config) -> Authenticator:
    """Return the authenticator of `auth`. Blocks: it reads the htpasswd file, or keys. Raises ConfigError."""
    section = config.auth.chosen
    match section:
        case None:
            return NoAuthentication()
        case Htpasswd():
            return _passwords(section)
        case Silly():
            return SillyAuthenticator(section.realm, section.service)
        case Token():
            return _token_server(section)


def create_policy(config: Config) -> CurrentPolicy | None:
    """Return the policy of `pyregistry.access`; None: every caller may do everything. Blocks. Raises ConfigError."""
    rules, groups = config.pyregistry.access, config.pyregistry.groups
    try:
        if isinstance(rules, str):
            file = PolicyFile(Path(rules))
            _require_login(config, rules, file.policy)
            return file
        return CurrentPolicy(Policy.parse(rules, groups)) if rules is not None else None
    except PolicyInvalid as error:
        place = f": {rules}: " if isinstance(rules, str) else ""
        raise ConfigError(f"pyregistry.access{place}{error}") from error


def _require_login(config: Config, file: str, policy: Policy) -> None:
    """Raise ConfigError for rules about users without `auth`; rules inside the config are checked elsewhere."""
    if config.auth.chosen is not None:
        return
    for rule in policy.rules:
        for name in rule.who:
            if name not in WITHOUT_LOGIN:
                raise ConfigError(needs_login(f"pyregistry.access: {file}: [{rule.number}].who", name))


def _origin(host: str, prefix: str) -> str:
    """Return `http.host` without the prefix at its end.

    The CNCF registry does not add the prefix to it, so configs for it have the prefix in both.
    """
    return host.removesuffix(prefix) if urlsplit(host).path.endswith(prefix) else host


def _passwords(section: Htpasswd) -> HtpasswdAuthenticator:
    try:
        return HtpasswdAuthenticator(Path(section.path), section.realm)
    except HtpasswdInvalid as error:
        raise ConfigError(f"auth.htpasswd.path: {error}") from error


def _token_server(section: Token) -> Authenticator:
    for name in section.signing_algorithms:
        if name not in trusted_keys.ALGORITHMS:
            raise ConfigError(
                f"auth.token.signingalgorithms: {name!r}, expected some of {', '.join(sorted(trusted_keys.ALGORITHMS))}"
            )
    server = token_server.TokenServer(
        section.realm,
        section.service,
        section.issuer,
        Path(section.root_cert_bundle) if section.root_cert_bundle else None,
        Path(section.jwks) if section.jwks else None,
        frozenset(section.signing_algorithms),
        (section.auto_redirect_path or token_server.AUTO_REDIRECT_PATH) if section.auto_redirect else None,
    )
    try:
        return token_server.TokenServerAuthenticator(server)
    except trusted_keys.KeysInvalid as error:
        raise ConfigError(str(error)) from error


def _expressions(key: str, texts: list[str]) -> tuple[Expression, ...]:
    found, faults = [], []
    for text in texts:
        try:
            found.append(compile_expression(text))
        except ValueError as error:
            faults.append(f"validation.manifests.urls.{key}: {text!r}: {error}")
    if faults:
        raise ConfigError(*faults)
    return tuple(found)
