"""`health`: checks; one that fails takes the registry out of service."""

import msgspec

from pyregistry.config.spelling import run_together
from pyregistry.config.values import Duration, Failures


class StorageCheck(msgspec.Struct, frozen=True, rename=run_together):
    """`health.storagedriver`: checks the storage."""

    enabled: bool = False
    """Check the storage."""
    interval: Duration = Duration(0)
    """Time between two checks; 0: 10 s."""
    threshold: Failures = 0
    """Failures until the registry is unhealthy; 0: 1."""


class FileCheck(msgspec.Struct, frozen=True, rename=run_together):
    """An item of `health.file`: healthy while the file does not exist."""

    file: str
    """Path of the file that takes the registry out of service."""
    interval: Duration = Duration(0)
    """Time between two checks; 0: 10 s."""
    threshold: Failures = 0
    """Failures until the registry is unhealthy; 0: 1."""


class HttpCheck(msgspec.Struct, frozen=True, rename=run_together):
    """An item of `health.http`: sends a HEAD to another service."""

    uri: str
    """URL to request, http or https."""
    headers: dict[str, list[str]] = {}
    """Headers of the request, each with its values."""
    status_code: int = 200
    """Status that counts as healthy."""
    timeout: Duration = Duration(0)
    """Time for the response; 0: the interval."""
    interval: Duration = Duration(0)
    """Time between two checks; 0: 10 s."""
    threshold: Failures = 0
    """Failures until the registry is unhealthy; 0: 1."""


class TcpCheck(msgspec.Struct, frozen=True, rename=run_together):
    """An item of `health.tcp`: opens a connection to another service."""

    addr: str
    """Address as HOST:PORT."""
    timeout: Duration = Duration(0)
    """Time for the connection; 0: the interval."""
    interval: Duration = Duration(0)
    """Time between two checks; 0: 10 s."""
    threshold: Failures = 0
    """Failures until the registry is unhealthy; 0: 1."""


class Health(msgspec.Struct, frozen=True, rename=run_together):
    """`health`: while a check fails, every response is 503."""

    storage_driver: StorageCheck = StorageCheck()
    file: list[FileCheck] = []
    """Files whose existence takes the registry out of service."""
    http: list[HttpCheck] = []
    """Addresses that must answer a HEAD."""
    tcp: list[TcpCheck] = []
    """Addresses that must accept a connection."""
