"""Makes health checks from `health` of the config."""

from collections.abc import Callable, Iterator
from pathlib import Path

from yarl import URL

from pyregistry.config.errors import ConfigError
from pyregistry.config.health_section import FileCheck, HttpCheck, StorageCheck, TcpCheck
from pyregistry.config.schema import Config
from pyregistry.observe.health import Check, InThread, Probe, accepts, answers_head, no_file
from pyregistry.service.location import location_of

INTERVAL_SECONDS = 10.0
"""Seconds between two checks by default."""


def checks(config: Config, storage: Callable[[], None]) -> Iterator[Check]:
    """Yield the configured checks; `storage` checks the storage, and blocks. Raises ConfigError."""
    health = config.health
    if health.storage_driver.enabled:
        name = f"storagedriver_{location_of(config).name}"
        yield _check("storagedriver", name, InThread(storage), health.storage_driver)
    for each in health.file:
        yield _check("file", each.file, InThread(no_file(Path(each.file).absolute())), each)
    for index, item in enumerate(health.http):
        uri = _uri(f"health.http[{index}].uri", item.uri)
        headers = [(name, value) for name, values in item.headers.items() for value in values]
        shown = str(uri.with_user(None).with_query(None))  # those parts may be secret
        yield _check("http", shown, answers_head(uri, item.status_code, headers), item, item.timeout)
    for index, target in enumerate(health.tcp):
        host, port = _address(f"health.tcp[{index}].addr", target.addr)
        yield _check("tcp", target.addr, accepts(host, port), target, target.timeout)


def _check(
    kind: str, name: str, probe: Probe, section: StorageCheck | FileCheck | HttpCheck | TcpCheck, timeout: float = 0.0
) -> Check:
    interval = float(section.interval) or INTERVAL_SECONDS
    return Check(kind, name, probe, interval, float(timeout) or interval, max(section.threshold, 1))


def _uri(key: str, text: str) -> URL:
    try:
        uri = URL(text)
    except ValueError as error:
        raise ConfigError(f"{key}: {text!r}, expected http://HOST/PATH") from error
    if uri.scheme not in {"http", "https"} or not uri.host:
        raise ConfigError(f"{key}: {text!r}, expected http://HOST/PATH")
    return uri


def _address(key: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"{key}: {text!r}, expected HOST:PORT")
    return host.strip("[]"), int(port)
