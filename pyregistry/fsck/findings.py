"""What can be wrong with a data directory: one row for each kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag, UploadId
from pyregistry.storage.layout import StoragePath


class Kind(StrEnum):
    """The name of a row of KINDS."""

    TORN_LINK = "torn-link"
    TORN_TAG = "torn-tag"
    DANGLING_LAYER = "dangling-layer"
    DANGLING_TAG = "dangling-tag"
    UNFINISHED_TAG = "unfinished-tag"
    MISSING_MANIFEST = "missing-manifest"
    DAMAGED_MANIFEST = "damaged-manifest"
    UNKNOWN_MANIFEST = "unknown-manifest"
    MISSING_BLOB = "missing-blob"
    UNLINKED_BLOB = "unlinked-blob"
    WRONG_SIZE = "wrong-size"
    MISSING_CHILD = "missing-child"
    EMPTY_BLOB = "empty-blob"
    CORRUPT_BLOB = "corrupt-blob"
    UNREADABLE_BLOB = "unreadable-blob"
    NO_DATA = "no-data"
    NO_LAYERS = "no-layers"
    NO_MANIFESTS = "no-manifests"
    BAD_NAME = "bad-name"
    MISSING_REFERRER = "missing-referrer"
    STALE_REFERRER = "stale-referrer"
    NO_START = "no-start"
    EMPTY_UPLOAD = "empty-upload"
    TEMPORARY = "temporary"
    OLD_RECORD = "old-record"
    FOREIGN = "foreign"
    NOT_USABLE = "not-usable"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Row:
    """One kind."""

    damage: bool
    """False for what hinders nobody: it takes room, or another program would stumble over it."""
    mending: str | None
    """What `--repair` does; None if only a person can decide."""


KINDS: Mapping[Kind, Row] = {
    Kind.TORN_LINK: Row(True, "written again from its path"),
    Kind.TORN_TAG: Row(True, "set to the newest manifest that it named and that is there, removed if there is none"),
    Kind.DANGLING_LAYER: Row(False, "removed"),
    Kind.DANGLING_TAG: Row(True, "removed"),
    Kind.UNFINISHED_TAG: Row(False, "removed"),
    Kind.MISSING_MANIFEST: Row(True, "its link is removed"),
    Kind.DAMAGED_MANIFEST: Row(True, "quarantined"),
    Kind.UNKNOWN_MANIFEST: Row(False, None),
    Kind.MISSING_BLOB: Row(True, None),
    Kind.UNLINKED_BLOB: Row(True, None),
    Kind.WRONG_SIZE: Row(True, None),
    Kind.MISSING_CHILD: Row(True, None),
    Kind.EMPTY_BLOB: Row(True, "quarantined"),
    Kind.CORRUPT_BLOB: Row(True, "quarantined"),
    Kind.UNREADABLE_BLOB: Row(True, "quarantined"),
    Kind.NO_DATA: Row(False, "removed"),
    Kind.NO_LAYERS: Row(True, "made"),
    Kind.NO_MANIFESTS: Row(False, "made"),
    Kind.BAD_NAME: Row(True, None),
    Kind.MISSING_REFERRER: Row(True, "made from the manifest"),
    Kind.STALE_REFERRER: Row(False, "removed"),
    Kind.NO_START: Row(False, "written from the time of the last byte"),
    Kind.EMPTY_UPLOAD: Row(False, "removed"),
    Kind.TEMPORARY: Row(False, "removed"),
    Kind.OLD_RECORD: Row(False, "removed"),
    Kind.FOREIGN: Row(False, None),
    Kind.NOT_USABLE: Row(True, None),
    Kind.UNREADABLE: Row(True, None),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    kind: Kind
    path: StoragePath
    sentence: str
    lost: tuple[str, ...] = ()
    """The images that cannot be pulled whole because of it, by tag where they have one."""
    repository: RepositoryName | None = None
    digest: Digest | None = None
    tag: Tag | None = None
    upload: UploadId | None = None
    look: "Look | None" = field(default=None, compare=False, repr=False)
    """Looks again; None as its result says that all is well by now."""

    @property
    def is_damage(self) -> bool:
        """Whether it hinders somebody."""
        return KINDS[self.kind].damage

    @property
    def is_repairable(self) -> bool:
        """Whether `--repair` mends it."""
        return KINDS[self.kind].mending is not None


Look = Callable[[], Finding | None]
