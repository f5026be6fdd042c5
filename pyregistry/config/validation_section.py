"""`validation`: what a manifest that is pushed may refer to."""

from typing import Literal

import msgspec

from pyregistry.config.spelling import run_together


class Platform(msgspec.Struct, frozen=True, rename=run_together):
    """An item of `validation.manifests.indexes.platformlist`."""

    os: str = ""
    """Operating system, such as linux."""
    architecture: str = ""
    """Architecture, such as amd64."""


class Indexes(msgspec.Struct, frozen=True, rename=run_together):
    """`validation.manifests.indexes`: of which platforms an index's manifests must be here."""

    platforms: Literal["all", "none", "list"] = "all"
    """Platforms of an index whose manifests must have been pushed before it; list: those of `platformlist`."""
    platform_list: list[Platform] = []
    """Platforms that are meant by `platforms: list`."""


class Urls(msgspec.Struct, frozen=True, rename=run_together):
    """`validation.manifests.urls`: regular expressions for the `urls` of layers that are fetched elsewhere.

    Where nothing is said they are accepted; the CNCF registry refuses them all.
    """

    allow: list[str] = []
    """Regular expressions (Go's syntax), of which one must match each URL of a layer; without any all may be used."""
    deny: list[str] = []
    """Regular expressions (Go's syntax), of which none may match a URL of a layer."""


class Manifests(msgspec.Struct, frozen=True, rename=run_together):
    """`validation.manifests`."""

    urls: Urls = Urls()
    indexes: Indexes = Indexes()


class Validation(msgspec.Struct, frozen=True, rename=run_together):
    """`validation`: what a manifest may refer to."""

    disabled: bool = False
    """Manifests may refer to blobs and manifests that are not here."""
    manifests: Manifests = Manifests()
