"""From a YAML file and the environment to a Config."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from pyregistry.config.check import check
from pyregistry.config.environment import overlay
from pyregistry.config.errors import ConfigError
from pyregistry.config.explain import explain, shown
from pyregistry.config.schema import Config
from pyregistry.config.sense import check_sense
from pyregistry.config.surface import CLOUD_DRIVERS, DRIVERS
from pyregistry.config.values import Duration
from pyregistry.documents import DocumentInvalid, read_yaml
from pyregistry.opener import read_file

_OLD_TLS = frozenset({"tls1.0", "tls1.1"})
_SUPPORTED_AUTH = frozenset({"htpasswd", "silly", "token", "none"})


def load(path: Path, environ: Mapping[str, str]) -> tuple[Config, list[str]]:
    """The config, and warnings about what in it is not carried out. Raises ConfigError."""
    try:
        text = read_file(path).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return parse(text, environ)


def parse(text: str, environ: Mapping[str, str]) -> tuple[Config, list[str]]:
    """`load` without the file."""
    try:
        document = read_yaml(text)
    except DocumentInvalid as error:
        raise ConfigError(str(error)) from error
    if not isinstance(document, dict):
        raise ConfigError(f"the file: {shown(document)}, expected a map of sections")
    laid_over, warnings = overlay(document, environ)
    try:
        _check_access(laid_over)
        document = _normalise(laid_over)
        _check_version(document)
        _check_choices(document)
        warnings += check(document)
        document, ignored = _without_bare_host(document)
        warnings += ignored
        config = msgspec.convert(document, type=Config, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ConfigError(explain(str(error), document, Config)) from error
    except RecursionError as error:
        raise ConfigError("an anchor of the file contains itself, or the nesting is too deep") from error
    check_sense(config)
    if config.http.tls.minimum_tls in _OLD_TLS:
        warnings.append(
            f"http.tls.minimumtls: {config.http.tls.minimum_tls} is not spoken any more, tls1.2 is the least"
        )
    if _sends_passwords_in_clear(config):
        warnings.append(
            "http.host: not set, nor http.tls: the address of tokens, to which clients send their passwords, is http "
            "unless a proxy in front says otherwise"
        )
    return config, warnings


def _sends_passwords_in_clear(config: Config) -> bool:
    """Return True if tokens may be made whose realm depends on what a proxy says."""
    makes_tokens = config.auth.htpasswd is not None and config.pyregistry.access is not None
    return makes_tokens and not config.http.host and not config.http.tls.certificate


def _decode(wanted: type, value: object) -> object:
    return Duration.parse(value) if issubclass(wanted, Duration) else value


def _normalise(document: Mapping[object, object]) -> dict[str, object]:
    normal = dict(document)
    for section in ("storage", "auth"):
        kinds = normal.get(section)
        if isinstance(kinds, str):
            normal[section] = {kinds: {}}
        elif isinstance(kinds, dict):  # `filesystem:` without parameters is null in YAML, and chosen all the same
            normal[section] = {key: {} if value is None else value for key, value in kinds.items()}
    return _respell({str(key): _without_nulls(value) for key, value in normal.items() if value is not None})


def _respell(document: dict[str, object]) -> dict[str, object]:
    """What the CNCF registry reads as a word, as one."""
    if isinstance(document.get("version"), float):
        document["version"] = str(document["version"])  # `version: 0.1` is a float in YAML
    log, http = document.get("log", {}), document.get("http")
    level = (log.get("level") if isinstance(log, dict) else None) or document.get("loglevel")  # its old place
    if isinstance(log, dict) and isinstance(level, str):
        document["log"] = {**log, "level": level.lower()}
    headers = http.get("headers") if isinstance(http, dict) else None
    if isinstance(http, dict) and isinstance(headers, dict):
        document["http"] = {**http, "headers": {name: _words(values) for name, values in headers.items()}}
    return document


def _words(values: object) -> object:
    # `Access-Control-Allow-Credentials: [true]` and `Access-Control-Max-Age: [1728000]` are words to a browser.
    if not isinstance(values, list):
        return values
    return [str(value).lower() if isinstance(value, bool | int | float) else value for value in values]


def _without_nulls(value: object) -> object:
    """A key without a value counts as absent, at every level; `1:` is a word like other keys."""
    if not isinstance(value, dict):
        return value
    return {str(key): _without_nulls(member) for key, member in value.items() if member is not None}


def _without_bare_host(document: dict[str, object]) -> tuple[dict[str, object], list[str]]:
    """Leave out an `http.host` that is no URL: the CNCF registry starts and does not use it, so there are such configs.

    Returns a warning with the document.
    """
    http = document.get("http")
    host = http.get("host") if isinstance(http, dict) else None
    if not isinstance(http, dict) or not isinstance(host, str) or not host.isprintable() or "//" in host or not host:
        return document, []
    kept = {name: value for name, value in http.items() if name != "host"}
    return {**document, "http": kept}, [f"http.host: {shown(host)} is no URL such as https://{host}, and not used"]


def _check_version(document: Mapping[str, object]) -> None:
    if "version" not in document:
        raise ConfigError("version: missing, expected 0.1")
    if document["version"] != "0.1":
        raise ConfigError(f"version: {shown(document['version'])}, expected 0.1")


def _check_choices(document: Mapping[str, object]) -> None:
    """Of some sections exactly one kind is chosen, and another one than ours would be another service.

    Here rather than in `check`, since a kind without parameters says as much as one with them.
    """
    storage, auth = document.get("storage"), document.get("auth")
    drivers = sorted((CLOUD_DRIVERS | DRIVERS.keys()).intersection(storage)) if isinstance(storage, dict) else []
    if len(drivers) != 1:
        raise ConfigError(f"storage: exactly one driver is needed, found {', '.join(drivers) or 'none'}")
    if drivers[0] in CLOUD_DRIVERS:
        raise ConfigError(f"storage.{drivers[0]}: this driver is not supported, expected filesystem or inmemory")
    kinds = sorted(map(str, auth)) if isinstance(auth, dict) else []
    if len(kinds) > 1:
        raise ConfigError(f"auth: at most one kind, found {', '.join(kinds)}")
    if kinds and kinds[0] not in _SUPPORTED_AUTH:  # ignored, it would let everybody in
        raise ConfigError(f"auth.{kinds[0]}: this kind is not supported, expected htpasswd or token")


def _check_access(document: Mapping[object, object]) -> None:
    """Elsewhere a key without a value counts as absent; here that would allow everything."""
    own = document.get("pyregistry")
    if isinstance(own, dict) and "access" in own and own["access"] in (None, ""):
        raise ConfigError("pyregistry.access: no value; give a list of rules or a file, or leave the key out")
