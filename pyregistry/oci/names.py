"""Repository names, tags and upload ids: strings that cannot hold an invalid value.

The HTTP server decodes `%2F` before a handler gets a path, so a route's pattern protects nothing. Only these types,
made from the decoded value, may reach the storage.
"""

import re
from typing import Self

from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import BlobUploadUnknown, ManifestInvalid, NameInvalid

NAME_LENGTH = 255
NAME_COMPONENTS = (NAME_LENGTH + 1) // 2
"""Components of the longest name: as in the CNCF registry, only its length bounds them."""
TAG_LENGTH = 128

# distribution-spec, "Pulling manifests". `fullmatch`, never `$`, which accepts a trailing newline.
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*", re.ASCII)
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)
_UPLOAD_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


class RepositoryName(str):
    """A `<name>` of the spec; raises NameInvalid."""

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """Check length before pattern, so that a hostile value costs nothing."""
        if not 0 < len(value) <= NAME_LENGTH:
            raise NameInvalid(f"a repository name has 1 to {NAME_LENGTH} characters, this one has {len(value)}")
        for component in value.split("/"):
            if _COMPONENT.fullmatch(component) is None:
                raise NameInvalid(
                    "a component of a repository name is lower-case letters and digits, "
                    "separated by '.', '_', '__' or any number of '-'"
                )
        return super().__new__(cls, value)


class Tag(str):
    """A tag; raises ManifestInvalid."""

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """Raise unless `value` matches the spec's pattern for tags."""
        if _TAG.fullmatch(value[: TAG_LENGTH + 1]) is None:
            raise ManifestInvalid(
                f"a tag is 1 to {TAG_LENGTH} letters, digits, '_', '.' and '-', and does not begin with '.' or '-'"
            )
        return super().__new__(cls, value)


class UploadId(str):
    """The id of an upload: a canonical lower-case UUID, as in the CNCF registry; raises BlobUploadUnknown."""

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """Refuse other ids as unknown rather than invalid, since they cannot exist."""
        if _UPLOAD_ID.fullmatch(value[:37]) is None:
            raise BlobUploadUnknown("an upload's id is a lower-case UUID")
        return super().__new__(cls, value)


def parse_reference(value: str) -> Tag | Digest:
    """Return a `<tag-or-digest>` of the spec: a value with a colon is always a digest."""
    return Digest(value) if ":" in value else Tag(value)
