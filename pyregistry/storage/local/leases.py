"""The writers' side of garbage collection; docs/gc.md has the protocol, its races and its proof.

Safety, "an acknowledged image never loses a blob", rests on the commit lock and on *records*: while a collector runs, a
writer changes the record of each blob that it relies on (a touch), in a section that it holds the commit lock shared
for. The collector removes nothing whose record changed, in sections that it holds it exclusively for. Not every touch
can be seen in a record: a file system may keep whole seconds, the time may be the last one that it can hold, the file
may belong to another user. Such a touch leaves a *mark*, a file of its own, which the collector looks for as well. No
clock decides.

Liveness, "a push is not refused because the collector was quicker", rests on *leases*: the time of a layer link, or of
the revision link of a manifest that was pushed by digest. Whoever is told that a blob is there gets a lease on it; the
manifest that uses it ends the lease, so that nothing is kept longer than a push needs it.
"""

import errno
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from hashlib import blake2b

from pyregistry.oci.digest import Digest
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import LONGEST_RENEWAL, renewed_after
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import stat_file
from pyregistry.storage.seams.objects import PathNotFound, Stat

ENDED_NS = 946_684_800 * 10**9
"""2000-01-01T00:00:00Z, in nanoseconds: a lease that was ended, whatever the clock says."""

_COMMIT = "commit"
_TURNSTILE = "turnstile"
_RENEWAL = "renewal"
_RENEWAL_BYTES = 32
_CANNOT_SET_TIMES = (errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class NotOurs(Exception):
    """The time of this link cannot be set by this process."""


@contextmanager
def commit_section(driver: Driver) -> Iterator[None]:
    """For a writer: no collector removes anything meanwhile. Blocks for as long as a short batch of removals takes."""
    with ExitStack() as held:
        # Through the turnstile, which a waiting collector holds: else writers that follow each other would keep the
        # shared lock for ever.
        with driver.lock(_TURNSTILE, exclusive=False):
            held.enter_context(driver.lock(_COMMIT, exclusive=False))
        yield


@contextmanager
def exclusive_section(driver: Driver) -> Iterator[None]:
    """For the collector: no writer commits anything meanwhile."""
    with driver.lock(_TURNSTILE, exclusive=True), driver.lock(_COMMIT, exclusive=True):
        yield


def is_collecting(driver: Driver) -> bool:
    """Return False if no collector remembers records. In a commit section.

    One that begins later waits at its barrier for this section, and sees all that it wrote. So False is true until the
    section ends, and what this section relies on needs no touch.

    A collector that sees other mounts has its directory of marks elsewhere. It has other locks as well, so it is not
    supported; but only a touch that comes within a moment of its look is missed by it.
    """
    if _stat_or_none(driver, layout.TOUCHED) is not None:
        return True
    return driver.local is not None and any(_may_be_there(driver, place) for place in layout.other_places_of_marks())


def touch(driver: Driver, digest: Digest) -> Stat:
    """Change the record of a blob, or leave a mark; return the stat before; raise PathNotFound. In a commit section."""
    path = layout.blob_data(digest)
    with _one_at_a_time(driver, digest):
        before = driver.stat(path)
        # A time that grew tells the record from all that were there before; what the file system made of it shows.
        if not _make_later(driver, path, before) or driver.stat(path).modified_ns <= before.modified_ns:
            _leave_mark(driver, digest)
    return before


def require_link(driver: Driver, link: StoragePath) -> None:
    """Raise PathNotFound unless the link is there, and is not taken back. In a commit section, behind the touch."""
    with written_alone(driver, link):
        stat_file(driver, link)


@contextmanager
def written_alone(driver: Driver, link: StoragePath) -> Iterator[None]:
    """Hold the lock of a link: while it is written, its sync included, or looked at by who relies on it.

    A new link is taken back if its directory cannot be synced. Not with the lock of a blob: a base layer may be mounted
    in many repositories at once, and each would wait for the flushes of all. Links share 256 locks.
    """
    stripe = blake2b(link.encode(), digest_size=1).hexdigest()
    with driver.lock(f"link-{stripe}", exclusive=True):
        yield


def try_touching(driver: Driver, digest: Digest) -> None:
    """Do to a blob what a touch does, and change nothing; raises PathNotFound, OSError if a touch would."""
    path = layout.blob_data(digest)
    with _one_at_a_time(driver, digest):
        _set_mtime(driver, path, driver.stat(path).modified_ns)


def place(driver: Driver, source: StoragePath, digest: Digest, *, collecting: bool) -> None:
    """Rename the verified bytes of a blob into place, even over an existing one, which heals a damaged one.

    With the lock of the link that is written next, so that no wait for it can end between the two. Raises PathNotFound.
    In a commit section, for which `collecting` says what `is_collecting` returned.
    """
    with _replaced(driver, digest, collecting=collecting) as path:
        driver.move(source, path)


def write(driver: Driver, digest: Digest, content: bytes, *, collecting: bool) -> None:
    """Write a manifest in the same way."""
    with _replaced(driver, digest, collecting=collecting) as path:
        driver.write(path, content)


def _one_at_a_time(driver: Driver, digest: Digest) -> AbstractContextManager[None]:
    """Hold the lock of a blob, for a touch. The innermost lock."""
    # Writers hold the commit lock side by side: of two touches that both read before either sets, the slower one
    # could put the time back to one that the collector remembers.
    return driver.lock(f"blob-{digest.encoded[:2]}", exclusive=True)


@contextmanager
def marks_of_touches(driver: Driver) -> Iterator[None]:
    """Let touches leave marks until the block ends. For the collector, around all that it does.

    The marks of a run that was killed go first. That they were there before the records are taken is enough: a touch
    that left no mark, since there was no place for it, was made before, and is in the records.
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
    """Let the lease of a link begin again. After the touch of its blob, in the same section.

    Raises PathNotFound, and NotOurs where only `write_again` can do it.
    """
    if not _set_mtime(driver, link, time.time_ns()) and not _set_mtime(driver, link, None):
        raise NotOurs(link)


def write_again(driver: Driver, link: StoragePath) -> None:
    """Put a file of our own in the place of a link, with a new lease; raises PathNotFound, OSError.

    In a commit section, and with the lock of the repository, so that a link that is being deleted does not come back.
    """
    driver.write(link, driver.read(link))


def end(driver: Driver, link: StoragePath) -> None:
    """End the lease of a link; raises PathNotFound. After the manifest that uses it can be seen.

    In a commit section, and with the lock of the repository.
    """
    if _set_mtime(driver, link, ENDED_NS):
        return
    try:
        write_again(driver, link)
    except OSError as error:
        if not _is_refused(error):
            raise
        return  # nothing of the link can be changed, so the lease runs out by itself
    _set_mtime(driver, link, ENDED_NS)


def is_young(link: Stat, seconds: float, now_ns: int) -> bool:
    """Return True if a lease runs and began less than `seconds` ago, or in the future of a clock that was put back.

    Without any seconds none is.
    """
    return seconds > 0 and link.modified_ns != ENDED_NS and now_ns - link.modified_ns < seconds * 10**9


def kept_for(grace: float, renewal: float) -> float:
    """Return the seconds for which a collector with that grace keeps a lease, if servers renew by `renewal` seconds.

    A push may have been told of a blob with a lease of that age. From then on it has the grace, less what a server
    with this grace would renew by; without any grace it has nothing.
    """
    return grace + max(0.0, renewal - renewed_after(grace)) if grace > 0 else 0.0


@contextmanager
def _replaced(driver: Driver, digest: Digest, *, collecting: bool) -> Iterator[StoragePath]:
    """Another file comes into the place of a blob meanwhile."""
    path = layout.blob_data(digest)
    with _one_at_a_time(driver, digest):  # also without a collector: a touch of another section may see one
        if not collecting:
            yield path
            return
        before = _stat_or_none(driver, path)
        # It may have the number of a file that was removed, and its time. Before it is there: a writer that is killed
        # in between must not bring back a record that was changed for another one.
        _leave_mark(driver, digest)
        yield path
        if before is not None:
            _make_later(driver, path, before)


def note_renewal(driver: Driver, seconds: float) -> None:
    """Note that a server lets leases become so old before it renews them; raises OSError. Before it serves.

    The longest stays, also of a server that has ended: another one may still run, and it is five minutes at most.
    """
    with driver.lock(_RENEWAL, exclusive=True):
        if _read_renewal(driver) < seconds:
            try:
                driver.write(layout.RENEWAL, b"%g" % seconds, durable=False)
            except OSError:  # a full disk: without a note a collector takes the longest
                with suppress(PathNotFound):
                    driver.delete(layout.RENEWAL, durable=False)
                raise


def noted_renewal(driver: Driver) -> float:
    """Return the seconds by which all servers of this directory renew; LONGEST_RENEWAL where none has noted it."""
    noted = _read_renewal(driver)
    return noted if noted >= 0 else LONGEST_RENEWAL


def _read_renewal(driver: Driver) -> float:
    """Return -1 for what says nothing."""
    with suppress(PathNotFound, OSError, ValueError):
        noted = float(driver.read(layout.RENEWAL, _RENEWAL_BYTES))
        if 0 <= noted <= LONGEST_RENEWAL:
            return noted
    return -1.0


def _make_later(driver: Driver, path: StoragePath, before: Stat | None) -> bool:
    """Return False where no time can be set; raises PathNotFound."""
    return _set_mtime(driver, path, max(time.time_ns(), before.modified_ns + 1 if before is not None else 0))


def _leave_mark(driver: Driver, digest: Digest) -> None:
    with suppress(PathNotFound):  # its directory is there while a collector runs: else nobody remembers a record
        driver.mark(layout.touched(digest))


def _set_mtime(driver: Driver, path: StoragePath, mtime_ns: int | None) -> bool:
    """Return False where this process or the file system cannot do that; raises PathNotFound, OSError."""
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
    """Return True also for what this process may not look at."""
    try:
        return _stat_or_none(driver, path) is not None
    except OSError:
        return True


def _stat_or_none(driver: Driver, path: StoragePath) -> Stat | None:
    with suppress(PathNotFound):
        return driver.stat(path)
    return None
