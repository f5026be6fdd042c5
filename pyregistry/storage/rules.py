"""What the storage accepts, and for how long it keeps a promise."""

import re
from dataclasses import dataclass

from pyregistry.oci.manifest import Descriptor

GRACE = 3600.0
"""Seconds for which garbage collection keeps a blob that a push was told is there."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the storage accepts. Sizes in bytes."""

    max_manifest_size: int = 4 * 1024 * 1024
    max_blob_size: int = 100 * 1024**3
    require_blobs: bool = True
    """False: an image may refer to blobs that are not here (a sparse image)."""
    required_platforms: frozenset[tuple[str, str]] | None = None
    """Operating system and architecture of the manifests of an index that must be here; None: all of them must."""
    allowed_urls: tuple[re.Pattern[str], ...] = ()
    """What the `urls` of a layer must match one of, if there are any; searched for, not matched from the beginning."""
    denied_urls: tuple[re.Pattern[str], ...] = ()
    grace: float = GRACE
    """Seconds that a lease lasts, see storage/leases.py."""

    def accept_url(self, url: str) -> bool:
        """Whether a layer may be fetched from there."""
        if any(pattern.search(url) for pattern in self.denied_urls):
            return False
        return not self.allowed_urls or any(pattern.search(url) for pattern in self.allowed_urls)

    def require_child(self, child: Descriptor) -> bool:
        """Whether this manifest of an index must be here."""
        if self.required_platforms is None:
            return True
        platform = child.platform
        return platform is not None and (platform.os, platform.architecture) in self.required_platforms
