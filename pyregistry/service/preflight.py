"""Checks and objects that a service makes once from its config, before the fork; `check-config` runs them as well."""

from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_bytes
from typing import TypeVar

from pyregistry.auth.access import Authenticator
from pyregistry.auth.policy_file import CurrentPolicy
from pyregistry.config.errors import ConfigError
from pyregistry.config.schema import Config
from pyregistry.service.app import create_app
from pyregistry.service.health_config import checks
from pyregistry.service.sockets import check_address
from pyregistry.service.tls import Certificate
from pyregistry.service.wiring import create_authenticator, create_policy, storage_rules
from pyregistry.storage.backend import Memory

_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class StartupState:
    """Objects that workers inherit, so that a new worker can start even while a file is being replaced."""

    config: Config
    certificate: Certificate | None
    authenticator: Authenticator
    policy: CurrentPolicy | None
    spare_secret: bytes
    """Signs tokens if no key can be stored."""


def prepare(config: Config, spare_secret: bytes | None = None) -> StartupState:
    """Load the files of the config, and check all else that would make a worker fail. Blocks.

    Raises ConfigError with all faults.

    `spare_secret` is that of the previous config, so that its tokens stay valid. It does not check that the addresses
    are free and the data directory is usable.
    """
    faults: list[str] = []
    if config.http.net != "unix":
        _try(faults, lambda: check_address("http.addr", config.http.addr))
    if config.http.debug.addr:
        _try(faults, lambda: check_address("http.debug.addr", config.http.debug.addr))
    certificate = _try(faults, lambda: Certificate(config.http.tls) if config.http.tls.certificate else None)
    authenticator = _try(faults, lambda: create_authenticator(config))
    policy = _try(faults, lambda: create_policy(config))
    _try(faults, lambda: storage_rules(config))
    _try(faults, lambda: list(checks(config, lambda: None)))
    if faults or authenticator is None:
        raise ConfigError(*faults)
    prepared = StartupState(config, certificate, authenticator, policy, spare_secret or token_bytes(32))
    create_app(config, prepared.authenticator, prepared.policy, backend=Memory().open())  # an application makes its own
    return prepared


def _try(faults: list[str], make: Callable[[], _Made]) -> _Made | None:
    """Return the result of `make`; if it raises ConfigError, add the reasons to `faults` and return None."""
    try:
        return make()
    except ConfigError as error:
        faults += error.reasons
        return None
