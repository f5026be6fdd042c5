"""Loads a Config from a YAML file and the environment."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from pyregistry.common.documents import DocumentInvalid, read_yaml
from pyregistry.common.opener import read_file
from pyregistry.config.access import check_access
from pyregistry.config.check import check
from pyregistry.config.convert import convert
from pyregistry.config.environment import apply_environment
from pyregistry.config.error_messages import format_value
from pyregistry.config.errors import ConfigError, Notes
from pyregistry.config.known_keys import AUTH_KINDS, CLOUD_DRIVERS, DRIVERS
from pyregistry.config.log_fields import plain_fields
from pyregistry.config.schema import Config
from pyregistry.config.unknown import guess
from pyregistry.config.validate import find_violations

_OLD_TLS = frozenset({"tls1.0", "tls1.1"})


def load(path: Path, environ: Mapping[str, str]) -> tuple[Config, list[str]]:
    """Return the config, and warnings about keys without support.

    Raises ConfigError, which does not name the file.
    """
    try:
        text = read_file(path).decode("utf-8")
    except OSError as error:
        raise ConfigError(error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"not utf-8: {error.reason} at byte {error.start}") from error
    return parse(text, environ)


def parse(text: str, environ: Mapping[str, str]) -> tuple[Config, list[str]]:
    """Do what `load` does with the text of a file."""
    try:
        document = read_yaml(text)
    except DocumentInvalid as error:
        raise ConfigError(str(error)) from error
    if not isinstance(document, dict):
        raise ConfigError(f"the file: {format_value(document)}, expected a map of sections")
    notes = Notes()
    try:
        config = _config_of(apply_environment(document, environ, notes), notes)
    except RecursionError as error:
        raise ConfigError("an anchor of the file contains itself, or the nesting is too deep") from error
    if config is None or notes.errors:
        raise ConfigError(*notes.errors, log=None if config is None else config.log)
    return config, notes.warnings


def _config_of(document: dict[object, object], notes: Notes) -> Config | None:
    """Return the usable part of a document, or None, and note its faults."""
    notes.errors.extend(_wrong_access(document))
    found = check(document)
    normal = _normalise(document)
    notes.errors.extend([*_wrong_choices(normal), *found.errors])
    notes.warnings.extend(found.warnings)
    notes.warnings.extend(_leave_out_bare_host(normal))
    config, faults = convert(normal)
    notes.errors.extend(faults)
    if config is not None:
        notes.errors.extend(find_violations(config))
        notes.warnings.extend(_remarks(config))
        check_access(config, normal, notes)
    return config


def _remarks(config: Config) -> Iterator[str]:
    """Yield warnings about values that are valid but rarely intended."""
    if config.http.tls.minimum_tls in _OLD_TLS:
        yield f"http.tls.minimumtls: {config.http.tls.minimum_tls} is no longer supported, the minimum is tls1.2"
    if _sends_passwords_in_clear(config):
        yield (
            "http.host: not set, nor http.tls: the address of tokens, to which clients send their passwords, is http "
            "unless a proxy in front says otherwise"
        )


def _sends_passwords_in_clear(config: Config) -> bool:
    """Return True if the realm of tokens depends on a proxy's headers."""
    makes_tokens = config.auth.htpasswd is not None and config.pyregistry.access is not None
    return makes_tokens and not config.http.host and not config.http.tls.certificate


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
    """Turn values that the CNCF registry reads as strings into strings."""
    if isinstance(document.get("version"), float):
        document["version"] = str(document["version"])  # `version: 0.1` is a float in YAML
    log, http = document.get("log", {}), document.get("http")
    level = (log.get("level") if isinstance(log, dict) else None) or document.get("loglevel")  # the deprecated key
    if isinstance(log, dict) and isinstance(level, str):
        log = document["log"] = {**log, "level": level.lower()}
    if isinstance(log, dict) and isinstance(log.get("fields"), dict):
        document["log"] = {**log, "fields": plain_fields(log["fields"])}
    headers = http.get("headers") if isinstance(http, dict) else None
    if isinstance(http, dict) and isinstance(headers, dict):
        document["http"] = {**http, "headers": {name: _words(values) for name, values in headers.items()}}
    return document


def _words(values: object) -> object:
    # `Access-Control-Allow-Credentials: [true]` and `Access-Control-Max-Age: [1728000]` are strings to a browser.
    if not isinstance(values, list):
        return values
    return [str(value).lower() if isinstance(value, bool | int | float) else value for value in values]


def _without_nulls(value: object) -> object:
    """Drop keys without a value, at every level; make all keys strings, also `1:`."""
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {str(key): _without_nulls(member) for key, member in value.items() if member is not None}


def _leave_out_bare_host(document: dict[str, object]) -> Iterator[str]:
    """Drop an `http.host` that is not a URL, with a warning.

    There are such configs, since the CNCF registry starts with one and ignores it.
    """
    http = document.get("http")
    host = http.get("host") if isinstance(http, dict) else None
    if not isinstance(http, dict) or not isinstance(host, str) or not host.isprintable() or "//" in host or not host:
        return
    document["http"] = {name: value for name, value in http.items() if name != "host"}
    yield f"http.host: {format_value(host)} is not a URL such as https://{host}, and not used"


def _wrong_choices(document: dict[str, object]) -> Iterator[str]:
    """Yield faults of the version, `storage` and `auth`; replace the faulty ones to continue the checks.

    Not in `check`, which skips keys without a value: here a kind without parameters counts.
    """
    version = document.get("version")
    if version != "0.1":
        yield f"version: {'missing' if version is None else format_value(version)}, expected 0.1"
        document["version"] = "0.1"
    storage, auth = document.get("storage"), document.get("auth")
    wrong = _wrong_driver(storage)
    if wrong:
        yield wrong
        document["storage"] = {**(storage if isinstance(storage, dict) else {}), "inmemory": {}}
    kinds = sorted(map(str, auth)) if isinstance(auth, dict) else []
    if len(kinds) > 1:
        yield f"auth: at most one kind, found {', '.join(kinds)}"
    for kind in kinds:
        if kind not in AUTH_KINDS:  # if ignored, it would let all callers in
            wanted = guess(kind, AUTH_KINDS)
            suggestion = f"; did you mean auth.{wanted}?" if wanted else ""
            yield f"auth.{kind}: this kind is not supported, expected htpasswd or token{suggestion}"


def _wrong_driver(storage: object) -> str:
    drivers = sorted((CLOUD_DRIVERS | DRIVERS).intersection(storage)) if isinstance(storage, dict) else []
    if len(drivers) != 1:
        return f"storage: exactly one driver is needed, found {', '.join(drivers) or 'none'}"
    if drivers[0] not in DRIVERS:
        return f"storage.{drivers[0]}: this driver is not supported, expected {' or '.join(sorted(DRIVERS))}"
    return ""


def _wrong_access(document: Mapping[object, object]) -> Iterator[str]:
    """Yield an error for an access key without a value, which would allow everything if dropped."""
    own = document.get("pyregistry")
    if isinstance(own, dict) and "access" in own and own["access"] in (None, ""):
        yield "pyregistry.access: no value; give a list of rules or a file, or leave the key out"
