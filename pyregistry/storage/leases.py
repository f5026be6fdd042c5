"""The writers' side of garbage collection; docs/gc.md has the protocol, its races and its proof.

Safety, "an acknowledged image never loses a blob", rests on the commit lock and on *records*: a writer changes the
record of each blob that it relies on (a touch), in a section that it holds the commit lock shared for, and the
collector removes nothing whose record changed, in sections that it holds it exclusively for. No clock decides.

Liveness, "a push is not refused because the collector was quicker", rests on *leases*: the time of a layer link, or of
the revision link of a manifest that was pushed by digest. Whoever is told that a blob is there gets a lease on it; the
manifest that uses it ends the lease, so that nothing is kept longer than a push needs it.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress

from pyregistry.oci.digest import Digest
from pyregistry.storage import layout
from pyregistry.storage.driver import Driver, PathNotFound, Stat
from pyregistry.storage.layout import StoragePath

ENDED_NS = 946_684_800 * 10**9
"""2000-01-01T00:00:00Z, in nanoseconds: a lease that was ended, whatever the clock says."""

_COMMIT = "commit"
_TURNSTILE = "turnstile"


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


def touch(driver: Driver, digest: Digest) -> None:
    """Give a blob a record that it never had; raises PathNotFound. In a commit section."""
    path = layout.blob_data(digest)
    with _one_at_a_time(driver, digest):
        _make_later(driver, path, driver.stat(path))


def place(driver: Driver, source: StoragePath, digest: Digest) -> None:
    """Rename the verified bytes of a blob into place, even over an existing one, which heals a damaged one.

    Raises PathNotFound. In a commit section.
    """
    path = layout.blob_data(digest)
    with _one_at_a_time(driver, digest):
        before = _stat_or_none(driver, path)
        driver.move(source, path)
        _make_later(driver, path, before)


def write_blob(driver: Driver, digest: Digest, content: bytes) -> None:
    """The same for a manifest. In a commit section."""
    path = layout.blob_data(digest)
    with _one_at_a_time(driver, digest):
        before = _stat_or_none(driver, path)
        driver.write(path, content)
        _make_later(driver, path, before)


def renew(driver: Driver, link: StoragePath) -> None:
    """Let the lease of a link begin again; raises PathNotFound. After the touch of its blob, in the same section."""
    driver.set_mtime(link, time.time_ns())


def end(driver: Driver, link: StoragePath) -> None:
    """The lease of a link was used; raises PathNotFound. After the manifest that uses it can be seen."""
    driver.set_mtime(link, ENDED_NS)


def is_young(link: Stat, seconds: float, now_ns: int) -> bool:
    """Whether a lease is not ended and began less than `seconds` ago, or in the future of a clock that was put back."""
    return link.mtime_ns != ENDED_NS and now_ns - link.mtime_ns < seconds * 10**9


def renewed_after(grace: float) -> float:
    """Seconds for which a lease need not be renewed: well below the grace, so that a push has most of it."""
    return min(300.0, grace / 20)


def _make_later(driver: Driver, path: StoragePath, before: Stat | None) -> None:
    driver.set_mtime(path, max(time.time_ns(), before.mtime_ns + 1 if before is not None else 0))


def _stat_or_none(driver: Driver, path: StoragePath) -> Stat | None:
    with suppress(PathNotFound):
        return driver.stat(path)
    return None


def _one_at_a_time(driver: Driver, digest: Digest) -> AbstractContextManager[None]:
    # Writers hold the commit lock side by side: of two touches that both read before either sets, the slower one
    # could put the time back to one that the collector remembers.
    return driver.lock(f"blob-{digest.encoded[:2]}", exclusive=True)
