"""The writers' side of garbage collection; docs/gc.md has the protocol, its races and its proof.

Safety, "an acknowledged image never loses a blob", rests on the commit lock and on *generations*. While a collector
runs, a writer changes the generation of each blob that it relies on (a touch). It does so in a section that holds the
commit lock shared. The collector removes nothing whose generation changed, in sections that hold it exclusively. Not
every touch shows in a generation: a file system may keep whole seconds, or the time may be its last one. The file may
belong to another user. Such a touch leaves a *mark*, a file of its own, which the collector checks as well. No clock
decides.

Liveness, "a push is not refused because the collector was quicker", rests on *leases*: the time of a layer link, or of
the revision link of a manifest that was pushed by digest. A client that learns that a blob exists gets a lease on it.
The manifest that uses it ends the lease, so that nothing is kept longer than a push needs it.
"""

import errno
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from hashlib import blake2b

from pyregistry.oci.digest import Digest
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import MAX_RENEWAL_SECONDS, renewed_after
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import stat_file
from pyregistry.storage.seams.objects import PathNotFound, Stat

ENDED_NS = 946_684_800 * 10**9
"""Time of a lease that was ended, whatever the clock says: 2000-01-01T00:00:00Z, in nanoseconds."""

_COMMIT = "commit"
_TURNSTILE = "turnstile"
_RENEWAL = "renewal"
_RENEWAL_BYTES = 32
_CANNOT_SET_TIMES = (errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class NotOurs(Exception):
    """This process cannot set the time of this link."""


@contextmanager
def commit_section(driver: Driver) -> Iterator[None]:
    """Section of a writer, in which no collector removes anything. Blocks as long as a short batch of removals."""
    with ExitStack() as stack:
        # Through the turnstile, which a waiting collector holds: otherwise one writer after another could hold the
        # shared lock for ever.
        with driver.lock(_TURNSTILE, exclusive=False):
            stack.enter_context(driver.lock(_COMMIT, exclusive=False))
        yield


@contextmanager
def exclusive_section(driver: Driver) -> Iterator[None]:
    """Section of the collector, in which no writer commits anything."""
    with driver.lock(_TURNSTILE, exclusive=True), driver.lock(_COMMIT, exclusive=True):
        yield


def is_collecting(driver: Driver) -> bool:
    """Return False if no collector remembers generations. In a commit section.

    A collector that begins later waits at its barrier for this section, and sees all that it wrote. So False stays
    true until the section ends, and content that it relies on needs no touch.

    A collector that sees other mounts has its directory of marks elsewhere. It has other locks as well, so it is not
    supported. But it misses only a touch in the moment of its check.
    """
    if _stat_or_none(driver, layout.TOUCHED) is not None:
        return True
    return driver.local is not None and any(_may_be_there(driver, place) for place in layout.other_places_of_marks())


def touch(driver: Driver, digest: Digest) -> Stat:
    """Change the generation of a blob, or leave a mark; return the stat before; raise PathNotFound.

    In a commit section.
    """
    path = layout.blob_data(digest)
    with _one_at_a_time(driver, digest):
        before = driver.stat(path)
        # A later time makes the generation unlike all earlier ones. The stat shows what the file system made of it.
        if not _make_later(driver, path, before) or driver.stat(path).modified_ns <= before.modified_ns:
            _leave_mark(driver, digest)
    return before


def require_link(driver: Driver, link: StoragePath) -> None:
    """Raise PathNotFound unless the link is there and stays. In a commit section, after the touch."""
    with written_alone(driver, link):
        stat_file(driver, link)


@contextmanager
def written_alone(driver: Driver, link: StoragePath) -> Iterator[None]:
    """Hold the lock of a link while it is written and synced, or checked by a section.

    A new link is taken back if its directory cannot be synced. This is not the lock of the blob: a base layer may be
    mounted in many repositories at once, and each would wait for the flushes of all. Links share 256 locks.
    """
    stripe = blake2b(link.encode(), digest_size=1).hexdigest()
    with driver.lock(f"link-{stripe}", exclusive=True):
        yield


def try_touching(driver: Driver, digest: Digest) -> None:
    """Make the system call of a touch, but change nothing; raises PathNotFound, OSError if a touch would."""
    path = layout.blob_data(digest)
    with _one_at_a_time(driver, digest):
        _set_mtime(driver, path, driver.stat(path).modified_ns)


def install(driver: Driver, source: StoragePath, digest: Digest, *, collecting: bool) -> None:
    """Rename the verified bytes of a blob into place, also over an existing one, which repairs a damaged one.

    With the lock of the link that is written next, so that no wait falls between the two. Raises PathNotFound.
    In a commit section; `collecting` is the result of `is_collecting` in it.
    """
    with _replaced(driver, digest, collecting=collecting) as path:
        driver.move(source, path)


def write(driver: Driver, digest: Digest, content: bytes, *, collecting: bool) -> None:
    """Write a manifest in the same way."""
    with _replaced(driver, digest, collecting=collecting) as path:
        driver.write(path, content)


def _one_at_a_time(driver: Driver, digest: Digest) -> AbstractContextManager[None]:
    """Hold the lock of a blob, for a touch. The innermost lock."""
    # Writers share the commit lock. Without this lock, the slower of two touches could set the time back to one that
    # the collector remembers.
    return driver.lock(f"blob-{digest.encoded[:2]}", exclusive=True)


@contextmanager
def marks_of_touches(driver: Driver) -> Iterator[None]:
    """Let touches leave marks until the block ends. For the collector, around all that it does.

    The marks of a run that was killed go first. The directory need only exist before the generations are read. A touch
    that left no mark, since there was no directory, was made before and is in the generations.
    """
    with suppress(PathNotFound):
        driver.delete(layout.TOUCHED, durable=False)
    driver.make_directory(layout.TOUCHED, durable=False)
    try:
        yield
    finally:
        with suppress(PathNotFound):
            driver.delete(layout.TOUCHED, durable=False)


def is_marked(driver: Driver, digest: Digest) -> bool:
    """Return True if a touch left a mark on the blob since the collector began."""
    return _stat_or_none(driver, layout.touched(digest)) is not None


def renew(driver: Driver, link: StoragePath) -> None:
    """Begin the lease of a link again. After the touch of its blob, in the same section.

    Raises PathNotFound, and NotOurs if only `write_again` can do it.
    """
    if not _set_mtime(driver, link, time.time_ns()) and not _set_mtime(driver, link, None):
        raise NotOurs(link)


def write_again(driver: Driver, link: StoragePath) -> None:
    """Replace a link by a file of our own, with a new lease; raises PathNotFound, OSError.

    In a commit section. With the lock of the repository, so that a link which is being deleted stays deleted.
    """
    driver.write(link, driver.read(link))


def release(driver: Driver, link: StoragePath) -> None:
    """End the lease of a link; raises PathNotFound. After the manifest that uses it is visible.

    In a commit section, and with the lock of the repository.
    """
    if _set_mtime(driver, link, ENDED_NS):
        return
    try:
        write_again(driver, link)
    except OSError as error:
        if not _is_refused(error):
            raise
        return  # the link cannot be changed, so the lease expires by itself
    _set_mtime(driver, link, ENDED_NS)


def is_young(link: Stat, seconds: float, now_ns: int) -> bool:
    """Return True if a lease runs and began less than `seconds` ago, or in the future of a changed clock.

    With 0 seconds it is never True.
    """
    return seconds > 0 and link.modified_ns != ENDED_NS and now_ns - link.modified_ns < seconds * 10**9


def kept_for(grace: float, renewal: float) -> float:
    """Return the seconds for which a collector with that grace keeps a lease, if servers renew after `renewal` seconds.

    A push may have learned of a blob whose lease had that age. From then on it has the grace, less the time after
    which a server with this grace would renew. With a grace of 0 it has nothing.
    """
    return grace + max(0.0, renewal - renewed_after(grace)) if grace > 0 else 0.0


@contextmanager
def _replaced(driver: Driver, digest: Digest, *, collecting: bool) -> Iterator[StoragePath]:
    """Give the path of a blob whose file is replaced in the block."""
    path = layout.blob_data(digest)
    with _one_at_a_time(driver, digest):  # also without a collector: another section may have seen one
        if not collecting:
            yield path
            return
        before = _stat_or_none(driver, path)
        # The new file may have the inode number and the time of a removed one. The mark comes first: a writer that is
        # killed in between must not bring back a generation that another writer changed.
        _leave_mark(driver, digest)
        yield path
        if before is not None:
            _make_later(driver, path, before)


def note_renewal(driver: Driver, seconds: float) -> None:
    """Note the age at which a server renews leases; raises OSError. Before it serves.

    The longest one stays, also of a server that has ended: another one may still run, and it is five minutes at most.
    """
    with driver.lock(_RENEWAL, exclusive=True):
        if _read_renewal(driver) < seconds:
            try:
                driver.write(layout.RENEWAL, b"%g" % seconds, durable=False)
            except OSError:  # a full disk: without a note a collector assumes the longest
                with suppress(PathNotFound):
                    driver.delete(layout.RENEWAL, durable=False)
                raise


def noted_renewal(driver: Driver) -> float:
    """Return the seconds after which all servers of this directory renew; MAX_RENEWAL_SECONDS without a note."""
    noted = _read_renewal(driver)
    return noted if noted >= 0 else MAX_RENEWAL_SECONDS


def _read_renewal(driver: Driver) -> float:
    """Return the noted seconds, -1 without a valid note."""
    with suppress(PathNotFound, OSError, ValueError):
        noted = float(driver.read(layout.RENEWAL, _RENEWAL_BYTES))
        if 0 <= noted <= MAX_RENEWAL_SECONDS:
            return noted
    return -1.0


def _make_later(driver: Driver, path: StoragePath, before: Stat | None) -> bool:
    """Set a later time; return False if none can be set; raises PathNotFound."""
    return _set_mtime(driver, path, max(time.time_ns(), before.modified_ns + 1 if before is not None else 0))


def _leave_mark(driver: Driver, digest: Digest) -> None:
    with suppress(PathNotFound):  # without a collector there is no directory, and no generation is remembered
        driver.mark(layout.touched(digest))


def _set_mtime(driver: Driver, path: StoragePath, mtime_ns: int | None) -> bool:
    """Return False if this process or the file system cannot set it; raises PathNotFound, OSError."""
    try:
        driver.set_mtime(path, mtime_ns)
    except OSError as error:
        if not _is_refused(error):
            raise
        return False
    return True


def _is_refused(error: OSError) -> bool:
    return error.errno in _CANNOT_SET_TIMES


def _may_be_there(driver: Driver, path: StoragePath) -> bool:
    """Return True also if this process is not allowed to stat it."""
    try:
        return _stat_or_none(driver, path) is not None
    except OSError:
        return True


def _stat_or_none(driver: Driver, path: StoragePath) -> Stat | None:
    with suppress(PathNotFound):
        return driver.stat(path)
    return None
