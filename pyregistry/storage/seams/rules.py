"""Rules for accepted content, and the duration of a lease."""

from dataclasses import dataclass

from pyregistry.common import defaults
from pyregistry.common.expressions import Expression
from pyregistry.oci.document import Descriptor
from pyregistry.oci.errors import ManifestInvalid
from pyregistry.oci.manifest import Manifest

GRACE_SECONDS = defaults.GRACE_SECONDS
MAX_URLS = 1_000
"""Most distinct URLs of a manifest that are matched against expressions."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules for accepted content. Sizes in bytes."""

    max_manifest_size: int = defaults.MANIFEST_BYTES
    max_blob_size: int = defaults.BLOB_BYTES
    require_blobs: bool = True
    """False allows images that refer to missing blobs (sparse images)."""
    required_platforms: frozenset[tuple[str, str]] | None = None
    """Platforms (OS, architecture) whose manifests an index must find here; None: all of them."""
    allowed_urls: tuple[Expression, ...] = ()
    """If there are any, each of a layer's `urls` must match one; searched for, not anchored at the beginning."""
    denied_urls: tuple[Expression, ...] = ()
    grace: float = GRACE_SECONDS
    """Duration of a lease in seconds, see storage/local/leases.py."""

    def check_urls(self, manifest: Manifest) -> None:
        """Raise ManifestInvalid for a layer that clients would fetch from a URL that is not accepted.

        Takes milliseconds for a large manifest, so it is called before any lock is taken.
        """
        if not self.allowed_urls and not self.denied_urls:
            return  # any URI is accepted
        layers = manifest.blobs[1:]  # the first is the config, which no client fetches elsewhere
        urls = dict.fromkeys(url for layer in layers for url in layer.urls or ())
        if len(urls) > MAX_URLS:
            raise ManifestInvalid(f"the layers of a manifest have at most {MAX_URLS} different urls here")
        for url in urls:
            if not self._accept_url(url):
                raise ManifestInvalid(f"layers from this place are not accepted here: {url}")

    def _accept_url(self, url: str) -> bool:
        # Clients drop line ends from URLs, so a rule would see another URL than they fetch.
        if " " in url or not url.isprintable():
            return False
        if any(expression.search(url) for expression in self.denied_urls):
            return False
        return not self.allowed_urls or any(expression.search(url) for expression in self.allowed_urls)

    def require_child(self, child: Descriptor) -> bool:
        """Return True if this manifest of an index must exist here."""
        if self.required_platforms is None:
            return True
        platform = child.platform
        return platform is not None and (platform.os, platform.architecture) in self.required_platforms
