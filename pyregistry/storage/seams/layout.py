"""Every path in the data directory; no other module builds one.

The part below `docker/registry/v2` is the CNCF registry's layout (2.8 and 3.x), a contract: each registry reads what
the other wrote.

    docker/registry/v2/
      blobs/<algorithm>/<first two of hex>/<hex>/data      layers, configs and manifests alike
      repositories/<name>/
        _layers/<algorithm>/<hex>/link                     a blob that this repository has
        _manifests/
          revisions/<algorithm>/<hex>/link                 a manifest that this repository has
          tags/<tag>/current/link                          the digest that the tag names
          tags/<tag>/index/<algorithm>/<hex>/link          each digest that the tag ever named
        _uploads/<id>/data                                 an upload: the bytes so far, its size is the offset
        _uploads/<id>/<offset>                             a piece of an upload, where files cannot grow: in memory
        _uploads/<id>/startedat                            RFC 3339, UTC, seconds
        _referrers/<algorithm>/<hex of subject>/<algorithm>/<hex of referrer>/descriptor
                                                           ours: the referrers API's entry, made again from manifests
    .pyregistry/                                           ours: all of it can be thrown away
      locks/                                               gc  turnstile  commit  repo-<hex>  link-<hex>
                                                           blob-<hex>: docs/gc.md;
                                                           scrub: one at a time  secrets, renewal: while one
                                                           changes  trial: for a collector that tries how they work
      tmp/  trash/
      touched/<algorithm>-<hex>                            marks of touches, while a collector runs
      renewal                                              seconds after which the servers renew leases: docs/gc.md
      uploads/<id>                                         the owner of an upload, and its hash so far
      gc.json                                              the report of the last garbage collection; its time counts
      used.json                                            the blobs and their size when they were counted last
      volumes                                              the file systems that repositories are on
      gc-failed                                            when and why the last one of the server failed
      token-keys                                           the secrets that sign our own tokens, mode 0600
      quarantine/<algorithm>-<hex>-<time>                  bytes that are not those of the digest, put there by fsck
      scrub/<algorithm>-<first two of hex>                 when each of these blobs was last verified
      scrub/pass                                           when the unfinished pass began

A file system that is mounted at or below `docker` has its own `tmp/`, `trash/` and `quarantine/`. They are in
`_pyregistry` at its top, because a rename cannot leave a file system. If it holds `blobs/`, the rest of `.pyregistry`
is there as well. Neither registry's walk of the repositories enters a directory whose name begins with `_`. A walk of
`blobs/` does, so nothing in there is called `data`.

A `link` is `algorithm:hex` without a newline: the CNCF registry rejects anything else. It finds its content by names:
- each directory below `tags/` is a tag,
- each file called `link` below `_layers` and `revisions` is a blob or manifest,
- each file called `data` below `blobs/` is a blob,
- each name without a leading `_` below a repository is a nested repository.
So no path of ours may look like one of these. Its catalog and its garbage collection find a repository by `_layers`
(2.8) or by `_manifests` (3.x): a repository always has both.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NewType

from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag, UploadId

StoragePath = NewType("StoragePath", str)
"""A path below the root, with `/` between its parts; only this module makes one."""

_V2 = "docker/registry/v2"
PRIVATE = StoragePath(".pyregistry")
TMP = StoragePath(".pyregistry/tmp")
LAST_GC = StoragePath(".pyregistry/gc.json")
LAST_GC_FAILURE = StoragePath(".pyregistry/gc-failed")
USED = StoragePath(".pyregistry/used.json")
TOUCHED = StoragePath(".pyregistry/touched")
RENEWAL = StoragePath(".pyregistry/renewal")
VOLUMES = StoragePath(".pyregistry/volumes")
LOCKS = StoragePath(".pyregistry/locks")
TOKEN_KEYS = StoragePath(".pyregistry/token-keys")
UPLOAD_RECORDS = StoragePath(".pyregistry/uploads")
SCRUB_PASS = StoragePath(".pyregistry/scrub/pass")
ROOT = StoragePath("")
MOUNTED = "_pyregistry"
"""The private directory at the top of a file system that is mounted in the tree."""
TREE = StoragePath(_V2)
BLOBS = StoragePath(f"{_V2}/blobs")
REPOSITORIES = StoragePath(f"{_V2}/repositories")

LINK = "link"
DATA = "data"
DESCRIPTOR = "descriptor"
OF_A_REPOSITORY = frozenset({"_layers", "_manifests"})
"""Names that make a directory a repository."""


def blob_data(digest: Digest) -> StoragePath:
    """The bytes of a blob or manifest."""
    return StoragePath(f"{blob(digest)}/{DATA}")


def blob(digest: Digest) -> StoragePath:
    """The directory that holds the bytes of one blob or manifest."""
    encoded = digest.encoded
    return StoragePath(f"{BLOBS}/{digest.algorithm}/{encoded[:2]}/{encoded}")


def repository(name: RepositoryName) -> StoragePath:
    """A repository, and every repository nested in it."""
    return StoragePath(f"{REPOSITORIES}/{name}")


def repository_and_above(name: RepositoryName) -> Iterator[StoragePath]:
    """A repository and the namespaces that it is in, the nearest first."""
    parts = name.split("/")
    for count in range(len(parts), 0, -1):
        yield StoragePath("/".join((REPOSITORIES, *parts[:count])))


def layers(name: RepositoryName) -> StoragePath:
    """The blobs of a repository."""
    return StoragePath(f"{REPOSITORIES}/{name}/_layers")


def layer(name: RepositoryName, digest: Digest) -> StoragePath:
    """The directory that holds one layer link."""
    return StoragePath(f"{REPOSITORIES}/{name}/_layers/{digest.algorithm}/{digest.encoded}")


def layer_link(name: RepositoryName, digest: Digest) -> StoragePath:
    """Present if the repository has this blob."""
    return StoragePath(f"{layer(name, digest)}/{LINK}")


def manifests(name: RepositoryName) -> StoragePath:
    """The manifests and tags of a repository."""
    return StoragePath(f"{REPOSITORIES}/{name}/_manifests")


def revisions(name: RepositoryName) -> StoragePath:
    """The manifests of a repository, by algorithm and digest."""
    return StoragePath(f"{REPOSITORIES}/{name}/_manifests/revisions")


def revision(name: RepositoryName, digest: Digest) -> StoragePath:
    """The directory that holds one revision link."""
    return StoragePath(f"{REPOSITORIES}/{name}/_manifests/revisions/{digest.algorithm}/{digest.encoded}")


def revision_link(name: RepositoryName, digest: Digest) -> StoragePath:
    """Present if the repository has this manifest."""
    return StoragePath(f"{revision(name, digest)}/{LINK}")


def tags(name: RepositoryName) -> StoragePath:
    """The tags of a repository: each child is one."""
    return StoragePath(f"{REPOSITORIES}/{name}/_manifests/tags")


def tag(name: RepositoryName, tag: Tag) -> StoragePath:
    """One tag, with what it named before."""
    return StoragePath(f"{REPOSITORIES}/{name}/_manifests/tags/{tag}")


def tag_current(name: RepositoryName, tag: Tag) -> StoragePath:
    """The directory of what the tag names."""
    return StoragePath(f"{REPOSITORIES}/{name}/_manifests/tags/{tag}/current")


def tag_current_link(name: RepositoryName, tag: Tag) -> StoragePath:
    """The digest that the tag names."""
    return StoragePath(f"{REPOSITORIES}/{name}/_manifests/tags/{tag}/current/{LINK}")


def tag_index_link(name: RepositoryName, tag: Tag, digest: Digest) -> StoragePath:
    """Present if the tag ever named this digest."""
    return StoragePath(f"{REPOSITORIES}/{name}/_manifests/tags/{tag}/index/{digest.algorithm}/{digest.encoded}/{LINK}")


def tag_index(name: RepositoryName, tag: Tag) -> StoragePath:
    """The digests that a tag ever named, by algorithm and digest."""
    return StoragePath(f"{REPOSITORIES}/{name}/_manifests/tags/{tag}/index")


def all_referrers(name: RepositoryName) -> StoragePath:
    """The referrers of all manifests of a repository."""
    return StoragePath(f"{REPOSITORIES}/{name}/_referrers")


def referrers(name: RepositoryName, subject: Digest) -> StoragePath:
    """The referrers of a manifest, by algorithm and digest."""
    return StoragePath(f"{REPOSITORIES}/{name}/_referrers/{subject.algorithm}/{subject.encoded}")


def referrer(name: RepositoryName, subject: Digest, digest: Digest) -> StoragePath:
    """One entry of the referrers API."""
    return StoragePath(f"{referrers(name, subject)}/{digest.algorithm}/{digest.encoded}/{DESCRIPTOR}")


def uploads(name: RepositoryName) -> StoragePath:
    """The open uploads of a repository: each child is one."""
    return StoragePath(f"{REPOSITORIES}/{name}/_uploads")


def upload(name: RepositoryName, upload_id: UploadId) -> StoragePath:
    """One open upload."""
    return StoragePath(f"{REPOSITORIES}/{name}/_uploads/{upload_id}")


def upload_data(name: RepositoryName, upload_id: UploadId) -> StoragePath:
    """The bytes that an upload has received."""
    return StoragePath(f"{REPOSITORIES}/{name}/_uploads/{upload_id}/{DATA}")


def upload_started_at(name: RepositoryName, upload_id: UploadId) -> StoragePath:
    """The time at which an upload began."""
    return StoragePath(f"{REPOSITORIES}/{name}/_uploads/{upload_id}/startedat")


def upload_record(upload_id: UploadId) -> StoragePath:
    """The owner of an upload and its hash so far."""
    return StoragePath(f"{UPLOAD_RECORDS}/{upload_id}")


def quarantined(digest: Digest, time_ns: int, place: StoragePath = PRIVATE) -> StoragePath:
    """The path for damaged bytes of a blob; a blob may be damaged more than once."""
    return StoragePath(f"{quarantine(place)}/{digest.algorithm}-{digest.encoded}-{time_ns}")


def quarantine(place: StoragePath) -> StoragePath:
    """The damaged bytes on one file system; `place` is the private directory there."""
    return StoragePath(f"{place}/quarantine")


def temporaries(place: StoragePath) -> StoragePath:
    """The temporary files on one file system."""
    return StoragePath(f"{place}/tmp")  # noqa: S108 - below the root


def trash(place: StoragePath) -> StoragePath:
    """The removed files on one file system, which still take up space."""
    return StoragePath(f"{place}/trash")


def mounts_of_the_tree(points: Iterable[str]) -> tuple[StoragePath, ...]:
    """Return those mount points, relative to the root, that matter for a rename; the deepest first."""
    ours = [point for point in points if f"{point}/".startswith("docker/")]
    return tuple(StoragePath(point) for point in sorted(ours, key=lambda point: (-point.count("/"), point)))


def private_directories(points: Collection[str]) -> Mapping[StoragePath, StoragePath]:
    """Return the private directory on each file system by its mount point, that of the root first.

    `.pyregistry` is that of the root, unless something is mounted there or the blobs are elsewhere.
    """
    is_apart = any(f"{point}/".startswith(f"{PRIVATE}/") or f"{BLOBS}/".startswith(f"{point}/") for point in points)
    found = {ROOT: StoragePath(MOUNTED) if is_apart else PRIVATE}
    for mount in mounts_of_the_tree(points):
        found[mount] = StoragePath(f"{mount}/{MOUNTED}")
    return found


def possible_homes() -> Iterator[StoragePath]:
    """Yield each private directory that may have the locks, depending on the mounts; that of the root first."""
    yield PRIVATE
    yield StoragePath(MOUNTED)
    parts = BLOBS.split("/")
    for count in range(1, len(parts) + 1):
        yield StoragePath("/".join((*parts[:count], MOUNTED)))


def other_places_of_marks() -> Iterator[StoragePath]:
    """Yield each directory of marks of a collector that sees other mounts than this process."""
    return (StoragePath(f"{home}/touched") for home in possible_homes() if home != PRIVATE)


def locks(place: StoragePath) -> StoragePath:
    """The locks, if the blobs are on the file system of this private directory."""
    return StoragePath(f"{place}/locks")


def above(place: StoragePath) -> StoragePath:
    """The top of the file system that a private directory is on."""
    return StoragePath(place.rpartition("/")[0])


def trial(directory: StoragePath, name: str) -> StoragePath:
    """A temporary file that shows whether a push could rename a file to this directory.

    A walk ignores it, as it is not a directory. A name with a leading `_` would end the CNCF registry's walk.
    """
    return child(directory, f".try-{name}")


def without_directories(place: StoragePath) -> bool:
    """Return True where no path may contain `data`: below `blobs/` the CNCF registry takes it for a blob."""
    return place.startswith(f"{BLOBS}/")


def touched(digest: Digest) -> StoragePath:
    """The mark of a touch that the generation of a blob may not show."""
    return StoragePath(f"{TOUCHED}/{digest.algorithm}-{digest.encoded}")


def scrubbed(algorithm: str, prefix: str) -> StoragePath:
    """The times of the last checks of all blobs with this prefix."""
    return StoragePath(f"{PRIVATE}/scrub/{algorithm}-{prefix}")


def child(path: StoragePath, name: str) -> StoragePath:
    """The path of a name that the storage listed below `path`."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise ValueError(f"not the name of a directory entry: {name!r}")
    return StoragePath(f"{path}/{name}")
