"""Going through the whole data directory: every look at everything, and a second one before it is called a finding.

Writers and the collector go on meanwhile. What looks wrong is therefore looked at again in a section in which neither
of them is between two of its steps.
"""

import errno
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pyregistry.fsck.blobs import blob_findings
from pyregistry.fsck.entries import Listing, unreadable
from pyregistry.fsck.findings import Finding
from pyregistry.fsck.private import private_findings
from pyregistry.fsck.repositories import RepositoryCheck, walk
from pyregistry.fsck.scope import Scope
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.local import leases
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.locking import repository_lock
from pyregistry.storage.seams import layout

READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT)
"""Errors of a place in which this process can write nothing."""


@dataclass(slots=True)
class Progress:
    """The part of the tree that a check has looked at."""

    repositories: int = 0
    """Repositories whose check has begun."""
    current: RepositoryName | None = None
    is_complete: bool = False

    def begin(self, name: RepositoryName) -> None:
        """Note that the check of a repository begins."""
        self.repositories += 1
        self.current = name


def check(driver: Driver, scope: Scope, progress: Progress | None = None) -> Iterator[Finding]:
    """Yield all that is wrong, and fill `progress`. Blocks.

    A caller that repairs each finding before it takes the next one is spared what follows from it.
    """
    looked = progress or Progress()
    before_ns = time.time_ns() - round(scope.leave_young * 1e9)
    listing = Listing(driver, before_ns)
    yield from _confirmed(driver, listing.unexpected(layout.TREE, frozenset({"blobs", "repositories"})))
    yield from _confirmed(driver, blob_findings(driver, listing))
    uploads: set[str] = set()

    def begin(name: RepositoryName) -> RepositoryCheck:
        looked.begin(name)
        return RepositoryCheck(listing, name, scope, uploads)

    yield from _confirmed(driver, walk(listing, begin))
    yield from _confirmed(driver, private_findings(driver, listing, uploads))
    yield from listing.not_usable()
    looked.is_complete = True


def _confirmed(driver: Driver, findings: Iterable[Finding]) -> Iterator[Finding]:
    for finding in findings:
        if finding.look is None:
            yield finding
            continue
        with quiet_section(driver, finding.repository):
            try:
                again = finding.look()
            except OSError as error:
                again = unreadable(finding.path, error)
        if again is not None:
            yield again


@contextmanager
def quiet_section(driver: Driver, name: RepositoryName | None) -> Iterator[None]:
    """Nobody commits, removes or, in that repository, deletes anything meanwhile."""
    with ExitStack() as held:
        try:
            held.enter_context(leases.exclusive_section(driver))
            if name is not None:
                held.enter_context(repository_lock(driver, name))
        except OSError as error:
            # Where nothing can be written no server writes either, and what is found is shown all the same.
            if error.errno not in READ_ONLY:
                raise
        yield
