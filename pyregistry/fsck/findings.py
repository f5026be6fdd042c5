"""The kinds of damage and leftovers: one row for each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag, UploadId
from pyregistry.storage.seams.layout import StoragePath


class Kind(StrEnum):
    """The name of a row of KINDS."""

    TORN_LINK = "torn-link"
    TORN_TAG = "torn-tag"
    PADDED_LINK = "padded-link"
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
    NO_FILE = "no-file"
    NO_DATA = "no-data"
    NO_LAYERS = "no-layers"
    NO_MANIFESTS = "no-manifests"
    BAD_NAME = "bad-name"
    MISSING_REFERRER = "missing-referrer"
    UNLISTED_REFERRER = "unlisted-referrer"
    STALE_REFERRER = "stale-referrer"
    NO_START = "no-start"
    EMPTY_UPLOAD = "empty-upload"
    TEMPORARY = "temporary"
    OLD_RECORD = "old-record"
    FOREIGN = "foreign"
    NOT_USABLE = "not-usable"
    UNREADABLE = "unreadable"
    NO_PERMISSION = "no-permission"


@dataclass(frozen=True, slots=True)
class Row:
    """One kind."""

    damage: bool
    """False for a leftover: it takes space, or another program would stumble over it."""
    meaning: str
    repair: str | None
    """The action of `--repair`; None if only a person can decide."""
    unchecked: bool = False
    """True for what this run could not check: it is neither damage nor a leftover."""

    @property
    def weight(self) -> str:
        """The word of the page and of `--json`: damage, leftover or unchecked."""
        if self.unchecked:
            return "unchecked"
        return "damage" if self.damage else "leftover"


KINDS: Mapping[Kind, Row] = {
    Kind.TORN_LINK: Row(
        True, "a link that is empty, cut off, or names another digest than its path does", "written again from its path"
    ),
    Kind.TORN_TAG: Row(
        True,
        "a tag whose link is empty or cut off",
        "set to the newest manifest that it named and that is there, else removed",
    ),
    Kind.PADDED_LINK: Row(
        False, "a link with white space around its digest, which the CNCF registry refuses", "written again"
    ),
    Kind.DANGLING_LAYER: Row(False, "a layer link whose blob is not there", "removed"),
    Kind.DANGLING_TAG: Row(True, "a tag of a manifest that is not there", "removed"),
    Kind.UNFINISHED_TAG: Row(False, "a tag that names nothing, of a push or deletion that was cut off", "removed"),
    Kind.MISSING_MANIFEST: Row(True, "a revision link whose manifest is not there", "its link is removed"),
    Kind.DAMAGED_MANIFEST: Row(True, "the bytes of a manifest are not those of its digest", "quarantined"),
    Kind.UNKNOWN_MANIFEST: Row(False, "a manifest of a format that is not served, such as schema 1", None),
    Kind.MISSING_BLOB: Row(True, "a config or layer that is not there, or damaged", None),
    Kind.UNLINKED_BLOB: Row(True, "a config or layer that exists, but is not linked in this repository", None),
    Kind.WRONG_SIZE: Row(
        False, "a blob or manifest is right, but what refers to it says another size; it can be pulled", None
    ),
    Kind.MISSING_CHILD: Row(True, "a manifest of an index that is not there, or empty", None),
    Kind.EMPTY_BLOB: Row(True, "a file without bytes in the place of a blob", "quarantined"),
    Kind.CORRUPT_BLOB: Row(True, "the bytes of a blob are not those of its digest", "quarantined"),
    Kind.UNREADABLE_BLOB: Row(True, "the disk does not return the bytes of a blob", "quarantined"),
    Kind.NO_FILE: Row(
        True,
        "a symbolic link that leads nowhere, or something else that is not a file, instead of a blob or link",
        None,
    ),
    Kind.NO_DATA: Row(False, "the directory of a blob, empty", "removed"),
    Kind.NO_LAYERS: Row(True, "a repository without `_layers`: the CNCF registry 2.8 would remove its images", "made"),
    Kind.NO_MANIFESTS: Row(False, "a repository without `_manifests`, which 3.x does not see", "made"),
    Kind.BAD_NAME: Row(
        True, "a repository whose name is invalid for every client; garbage collection stops at it", None
    ),
    Kind.MISSING_REFERRER: Row(
        True, "a manifest with a subject that the referrers API does not list", "made from the manifest"
    ),
    Kind.UNLISTED_REFERRER: Row(
        False,
        "a manifest with a subject that another registry took, and that the referrers API does not list",
        "made from the manifest",
    ),
    Kind.STALE_REFERRER: Row(False, "an entry of the referrers API for a manifest that is gone", "removed"),
    Kind.NO_START: Row(False, "an upload that does not say when it began", "written from the time of the last byte"),
    Kind.EMPTY_UPLOAD: Row(False, "an upload without a file", "removed"),
    Kind.TEMPORARY: Row(False, "a temporary file, a day old, of this or the CNCF registry", "removed"),
    Kind.OLD_RECORD: Row(False, "a note about an upload that ended, a day old", "removed"),
    Kind.FOREIGN: Row(False, "a file, directory or symbolic link that is not a registry's", None),
    Kind.NOT_USABLE: Row(True, "a file or directory that the owner of the data directory cannot use", None),
    Kind.UNREADABLE: Row(True, "a file or directory that the disk does not return", None),
    Kind.NO_PERMISSION: Row(
        False, "a file or directory that the user who runs `fsck` may not read", None, unchecked=True
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault."""

    kind: Kind
    path: StoragePath
    sentence: str
    lost: tuple[str, ...] = ()
    """The images that cannot be pulled whole because of it, by tag where they have one."""
    repository: RepositoryName | None = None
    digest: Digest | None = None
    tag: Tag | None = None
    upload: UploadId | None = None
    recheck: "Recheck | None" = field(default=None, compare=False, repr=False)
    """Checks again; returns None if all is well now."""

    @property
    def is_damage(self) -> bool:
        """True if it is damage."""
        return KINDS[self.kind].damage

    @property
    def is_repairable(self) -> bool:
        """True if `--repair` repairs it."""
        return KINDS[self.kind].repair is not None


Recheck = Callable[[], Finding | None]
