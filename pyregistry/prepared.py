"""What a service makes of its config once, before it has workers; `check-config` makes it, and throws it away."""

from dataclasses import dataclass
from secrets import token_bytes

import msgspec

from pyregistry.app import create_app
from pyregistry.auth.access import Authenticator
from pyregistry.auth.policy_file import CurrentPolicy
from pyregistry.config.schema import Config, InMemory, Storage
from pyregistry.parts import create_authenticator, create_policy
from pyregistry.sockets import check_address
from pyregistry.tls import Certificate


@dataclass(frozen=True, slots=True)
class Prepared:
    """Workers inherit it: one that is replaced while somebody renews a file must be able to start."""

    config: Config
    certificate: Certificate | None
    authenticator: Authenticator
    policy: CurrentPolicy | None
    spare_secret: bytes
    """Signs tokens where no key can be stored."""


def prepare(config: Config, spare_secret: bytes | None = None) -> Prepared:
    """Read what the config names, and try all else that would make a worker fail. Raises ConfigError. Blocks.

    `spare_secret` is that of the config before, so that its tokens stay valid. What is not asked is whether the
    addresses are free and the data directory can be used.
    """
    if config.http.net != "unix":
        check_address("http.addr", config.http.addr)
    if config.http.debug.addr:
        check_address("http.debug.addr", config.http.debug.addr)
    certificate = Certificate(config.http.tls) if config.http.tls.certificate else None
    spare = spare_secret or token_bytes(32)
    prepared = Prepared(config, certificate, create_authenticator(config), create_policy(config), spare)
    create_app(_in_memory(config), prepared.authenticator, prepared.policy)
    return prepared


def _in_memory(config: Config) -> Config:
    """The same without a data directory, which an application would make."""
    kept = config.storage
    storage = Storage(inmemory=InMemory(), delete=kept.delete, maintenance=kept.maintenance)
    return msgspec.structs.replace(config, storage=storage)
