"""`validation`: content that a pushed manifest may refer to."""

from typing import Literal

import msgspec

from pyregistry.config.spelling import run_together


class ListedPlatform(msgspec.Struct, frozen=True, rename=run_together):
    """An item of `validation.manifests.indexes.platformlist`."""

    os: str = ""
    """Operating system, such as linux."""
    architecture: str = ""
    """Architecture, such as amd64."""


class Indexes(msgspec.Struct, frozen=True, rename=run_together):
    """`validation.manifests.indexes`: platforms of an index whose manifests must exist."""

    platforms: Literal["all", "none", "list"] = "all"
    """Platforms of an index whose manifests must have been pushed before it; list: those of `platformlist`."""
    platform_list: list[ListedPlatform] = []
    """Platforms of `platforms: list`."""


class Urls(msgspec.Struct, frozen=True, rename=run_together):
    """`validation.manifests.urls`: regular expressions for the `urls` of layers that are fetched elsewhere.

    Without them all URLs are accepted; the CNCF registry then rejects all.
    """

    allow: list[str] = []
    """Regular expressions (Go's syntax), one of which must match each URL of a layer; empty: all URLs are allowed."""
    deny: list[str] = []
    """Regular expressions (Go's syntax) that must not match a URL of a layer."""


class Manifests(msgspec.Struct, frozen=True, rename=run_together):
    """`validation.manifests`."""

    urls: Urls = Urls()
    indexes: Indexes = Indexes()


class Validation(msgspec.Struct, frozen=True, rename=run_together):
    """`validation`: content that a manifest may refer to."""

    disabled: bool = False
    """Accept manifests whose blobs and manifests are missing."""
    manifests: Manifests = Manifests()
