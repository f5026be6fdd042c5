"""Reasons why a collector may be unsafe in a directory: its proof needs locks that exclude, and fresh metadata."""

from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.file_systems import file_systems
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.links import exists
from pyregistry.storage.seams.objects import PathBusy

_TRIAL = "trial"
_BETWEEN_MACHINES = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "coda", "ncpfs"}
    | {
        f"fuse.{name}"
        for name in (
            *("sshfs", "glusterfs", "davfs", "curlftpfs", "rclone", "s3fs", "goofys", "geesefs", "mountpoint-s3"),
            *("gcsfuse", "blobfuse", "blobfuse2", "ossfs", "cosfs", "juicefs", "seaweedfs", "mfs", "gvfsd-fuse"),
        )
    }
)
"""Kinds that machines share and of which each machine caches metadata for a while. Not those that are coherent (ceph,
gfs2, lustre, ocfs2), and not those between a host and its guest (virtiofs, 9p)."""


def doubts(driver: Driver) -> Iterator[str]:
    """Yield each reason why a collector may remove content in use; raises OSError. Blocks."""
    yield from _unsafe_kinds(driver)
    yield from _other_locks(driver)
    yield from _failed_trials(driver)


def _unsafe_kinds(driver: Driver) -> Iterator[str]:
    if driver.local is None:
        return
    for place, kind in file_systems(driver.local.root).items():
        if kind in _BETWEEN_MACHINES:
            yield f"{place} is {kind}, where changes of a server on another machine may be seen too late"


def _other_locks(driver: Driver) -> Iterator[str]:
    """Yield a sentence for each directory of locks that only processes with other mounts use."""
    if driver.local is None:
        return
    root = driver.local.root
    used = root / layout.locks(driver.private_directory_of(layout.LOCKS))
    for place in layout.possible_homes():
        other = root / layout.locks(place)
        with suppress(FileNotFoundError, NotADirectoryError):
            if not other.samefile(used):
                yield (
                    f"{other} has locks as well as {used}, so a server may see other mounts and use those: run where "
                    "the server runs, with the same mounts, or remove it if no process uses it"
                )


def _failed_trials(driver: Driver) -> Iterator[str]:
    try:
        with driver.lock(_TRIAL, exclusive=True), suppress(PathBusy), driver.lock(_TRIAL, exclusive=False, wait=False):
            yield "a lock (flock) does not exclude another one"
    except OSError as error:
        yield f"files cannot be locked (flock): {error.strerror}"
    path = layout.trial(layout.TMP, uuid4().hex)
    driver.write(path, b"", durable=False)
    seen = exists(driver, path)
    driver.delete(path, durable=False)
    if not seen or exists(driver, path):
        yield "a file that was just made is not seen, or one that was removed is"
