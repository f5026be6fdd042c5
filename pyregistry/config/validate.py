"""Semantic validation: ranges of values, and keys that need one another."""

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from math import inf
from urllib.parse import urlsplit

import msgspec

from pyregistry.config.error_messages import format_value
from pyregistry.config.extensions import Gc, Limits
from pyregistry.config.health_section import Health
from pyregistry.config.schema import Config, Http, Storage, Tls, UploadPurging
from pyregistry.config.values import Duration

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""The name of a header, RFC 9110 section 5.6.2."""
HEALTH_PATH = "/debug/health"
"""Path at `http.debug.addr` that returns the failed checks."""
_PREFIX = re.compile(r"/[A-Za-z0-9._~/-]*")
_FRAMING = frozenset({"connection", "content-length", "date", "keep-alive", "trailer", "transfer-encoding", "upgrade"})
"""Headers that the server sets itself: with a second one a proxy could find another end of the response."""
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9_]+")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_MAY_BE_ZERO = frozenset({"send_rate"})
"""Limits that 0 disables."""
_LEAST_SECONDS = 1.0
"""`age: 24` is 24 nanoseconds, not hours, and would remove uploads of running pushes."""
_WITHOUT_UNIT_SECONDS = 1e-3
"""A shorter duration is a number without a unit."""
_LEAST_WAIT_SECONDS = 0.001
"""Half a second for a check may be intended; `interval: 10`, in nanoseconds too, is not."""


def find_violations(config: Config) -> list[str]:
    """Return a sentence for each value that has the right type but is invalid."""
    return [f"{key}: {format_value(value)}, expected {expected}" for key, value, expected in _violations(config)]


Violation = tuple[str, object, str]
"""The key, its value, what was expected."""


def _violations(config: Config) -> Iterator[Violation]:
    yield from _check_http(config.http)
    yield from _check_tls(config.http.tls)
    yield from _check_storage(config.storage)
    yield from _check_health(config.health)
    yield from _check_gc(config.pyregistry.gc)
    yield from _check_header_text(config)
    if config.tags.max_tags < 0:
        yield "tags.maxtags", config.tags.max_tags, "0 or more"
    if config.pyregistry.workers < 0:
        yield "pyregistry.workers", config.pyregistry.workers, "0 or more"
    for index, word in enumerate(config.pyregistry.trusted_proxies or ()):
        if not _is_proxy(word):
            yield f"pyregistry.trusted-proxies[{index}]", word, "an address, a network such as 10.0.0.0/8, or unix"
    platform = config.pyregistry.default_platform
    if platform and not _PLATFORM.fullmatch(platform):
        yield "pyregistry.default-platform", platform, "an operating system and an architecture, such as linux/amd64"
    yield from _check_limits(config.pyregistry.limits)


def _check_limits(limits: Limits) -> Iterator[Violation]:
    for field in msgspec.structs.fields(limits):
        value, may_be_zero = getattr(limits, field.name), field.name in _MAY_BE_ZERO
        if value == inf:
            yield f"pyregistry.limits.{field.encode_name}", str(value), "a number that is finite"
        if not (value >= 0 if may_be_zero else value > 0):  # NaN is neither
            yield f"pyregistry.limits.{field.encode_name}", value, "0 or more" if may_be_zero else "more than 0"


def _check_http(http: Http) -> Iterator[Violation]:
    if http.host and not (http.host.isprintable() and _is_origin(http.host)):
        yield "http.host", http.host, "a URL such as https://registry.example.org"
    if http.prefix and not _PREFIX.fullmatch(http.prefix):
        yield "http.prefix", http.prefix, "a path such as /registry/"
    metrics = http.debug.prometheus.path
    if not _PREFIX.fullmatch(metrics) or metrics == HEALTH_PATH:
        yield "http.debug.prometheus.path", metrics, "a path such as /metrics"
    yield from _check_headers(http.headers)
    yield from _check_shortest("http.draintimeout", http.drain_timeout, _LEAST_WAIT_SECONDS)


def _check_headers(headers: Mapping[str, Sequence[str]]) -> Iterator[Violation]:
    for name, values in headers.items():
        if not _TOKEN.fullmatch(name):
            yield "http.headers", name, "the name of a header"
        if name.lower() in _FRAMING:
            yield "http.headers", name, "a header that does not frame the response, and is not Date"
        for value in values:
            if _UNPRINTABLE.search(value):
                yield f"http.headers.{name}", value, "text without control characters"


def _check_tls(tls: Tls) -> Iterator[Violation]:
    if tls.certificate and not tls.key:
        yield "http.tls.key", tls.key, "the file of the certificate's key"
    if not tls.certificate:
        # The CNCF registry then serves without TLS, and lets in clients without a certificate.
        for key, value in (("key", tls.key), ("clientcas", tls.client_cas), ("clientauth", tls.client_auth)):
            if value:
                yield f"http.tls.{key}", value, "http.tls.certificate as well"
    elif tls.client_auth and not tls.client_cas:
        yield "http.tls.clientauth", tls.client_auth, "http.tls.clientcas as well"


def _check_storage(storage: Storage) -> Iterator[Violation]:
    if storage.filesystem is not None:
        root = storage.filesystem.root_directory
        if not root or "\0" in root:  # no file system has such a name
            yield "storage.filesystem.rootdirectory", root, "the path of a directory"
    yield from _check_purging(storage.maintenance.upload_purging)


def _check_purging(purging: UploadPurging) -> Iterator[Violation]:
    for key, value in (("age", purging.age), ("interval", purging.interval)):
        if purging.enabled and value < _LEAST_SECONDS:
            yield f"storage.maintenance.uploadpurging.{key}", str(value), f"1s or more{_unit_missing(value)}"


def _check_health(health: Health) -> Iterator[Violation]:
    if health.storage_driver.enabled:
        yield from _check_shortest("health.storagedriver.interval", health.storage_driver.interval, _LEAST_WAIT_SECONDS)
    for index, file in enumerate(health.file):
        yield from _check_shortest(f"health.file[{index}].interval", file.interval, _LEAST_WAIT_SECONDS)
    asking = [(f"health.http[{index}]", each.interval, each.timeout) for index, each in enumerate(health.http)]
    asking += [(f"health.tcp[{index}]", each.interval, each.timeout) for index, each in enumerate(health.tcp)]
    for key, interval, timeout in asking:
        yield from _check_shortest(f"{key}.interval", interval, _LEAST_WAIT_SECONDS)
        yield from _check_shortest(f"{key}.timeout", timeout, _LEAST_WAIT_SECONDS)


def _check_gc(gc: Gc) -> Iterator[Violation]:
    yield from _check_shortest("pyregistry.gc.interval", gc.interval, _LEAST_SECONDS)
    yield from _check_shortest("pyregistry.gc.grace", gc.grace, _LEAST_SECONDS)


def _check_header_text(config: Config) -> Iterator[Violation]:
    """Check text that is sent in headers."""
    auth = config.auth.chosen
    kind = type(auth).__name__.lower()
    words = [(f"pyregistry.warnings[{index}]", text) for index, text in enumerate(config.pyregistry.warnings)]
    words += [(f"auth.{kind}.{key}", getattr(auth, key, "")) for key in ("realm", "service")]
    for key, text in words:
        if _UNPRINTABLE.search(text):
            yield key, text, "text without control characters"


def _check_shortest(key: str, value: Duration, shortest: float) -> Iterator[Violation]:
    """Check a duration for which 0 has a special meaning."""
    if value and value < shortest:
        yield key, str(value), f"0, or {Duration(shortest)} or more{_unit_missing(value)}"


def _unit_missing(value: Duration) -> str:
    """Return advice for a value that must have been a number without a unit."""
    return (
        "; give a unit (30s, 24h), as a number without one is nanoseconds"
        if 0 < abs(value) < _WITHOUT_UNIT_SECONDS
        else ""
    )


def _is_proxy(text: str) -> bool:
    try:
        return text == "unix" or bool(ip_network(text))
    except ValueError:
        return False


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and parts.port != 0
    except ValueError:
        return False
