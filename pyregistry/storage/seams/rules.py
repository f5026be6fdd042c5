"""What the storage accepts, and for how long it keeps a promise."""

from dataclasses import dataclass

from pyregistry.common import defaults
from pyregistry.common.expressions import Expression
from pyregistry.oci.document import Descriptor
from pyregistry.oci.errors import ManifestInvalid
from pyregistry.oci.manifest import Manifest

GRACE = defaults.GRACE_SECONDS
MAX_URLS = 1_000
"""Different urls of a manifest that expressions are searched in."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the storage accepts. Sizes in bytes."""

    max_manifest_size: int = defaults.MANIFEST_BYTES
    max_blob_size: int = defaults.BLOB_BYTES
    require_blobs: bool = True
    """False: an image may refer to blobs that are not here (a sparse image)."""
    required_platforms: frozenset[tuple[str, str]] | None = None
    """Operating system and architecture of the manifests of an index that must be here; None: all of them must."""
    allowed_urls: tuple[Expression, ...] = ()
    """What the `urls` of a layer must match one of, if there are any; searched for, not matched from the beginning."""
    denied_urls: tuple[Expression, ...] = ()
    grace: float = GRACE
    """Seconds that a lease lasts, see storage/local/leases.py."""

    def check_urls(self, manifest: Manifest) -> None:
        """Raise ManifestInvalid for a layer that clients would fetch from a place that is not accepted.

        Takes milliseconds for a large manifest, so it is called before any lock is taken.
        """
        if not self.allowed_urls and not self.denied_urls:
            return  # any URI is the pusher's affair
        layers = manifest.blobs[1:]  # the first is the config, which no client fetches elsewhere
        urls = dict.fromkeys(url for layer in layers for url in layer.urls or ())
        if len(urls) > MAX_URLS:
            raise ManifestInvalid(f"the layers of a manifest have at most {MAX_URLS} different urls here")
        for url in urls:
            if not self._accept_url(url):
                raise ManifestInvalid(f"layers from this place are not accepted here: {url}")

    def _accept_url(self, url: str) -> bool:
        # Clients drop line ends from URLs, so that a rule would see another one than they fetch.
        if " " in url or not url.isprintable():
            return False
        if any(expression.search(url) for expression in self.denied_urls):
            return False
        return not self.allowed_urls or any(expression.search(url) for expression in self.allowed_urls)

    def require_child(self, child: Descriptor) -> bool:
        """Whether this manifest of an index must be here."""
        if self.required_platforms is None:
            return True
        platform = child.platform
        return platform is not None and (platform.os, platform.architecture) in self.required_platforms
