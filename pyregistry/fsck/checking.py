"""The check of the whole storage: each thing is looked at, and once more before it is a finding.

Writers and the collector work meanwhile. So the second look is in a quiet moment: neither is between two of its steps.
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
from pyregistry.fsck.scope import CheckScope
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Coordinator
from pyregistry.storage.seams.objects import Objects

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


def check(
    objects: Objects, coordinator: Coordinator, scope: CheckScope, progress: Progress | None = None
) -> Iterator[Finding]:
    """Yield all findings, and fill `progress`. Blocks.

    A caller that repairs each finding before it takes the next one is spared what follows from it.
    """
    looked = progress or Progress()
    before_ns = time.time_ns() - round(scope.leave_young * 1e9)
    listing = Listing(objects, before_ns)
    yield from _confirmed(coordinator, listing.unexpected(layout.TREE, frozenset({"blobs", "repositories"})))
    yield from _confirmed(coordinator, blob_findings(objects, listing))
    uploads: set[str] = set()

    def begin(name: RepositoryName) -> RepositoryCheck:
        looked.begin(name)
        return RepositoryCheck(listing, name, scope, uploads)

    yield from _confirmed(coordinator, walk(listing, begin))
    yield from _confirmed(coordinator, private_findings(objects, listing, uploads))
    yield from listing.not_usable()
    looked.is_complete = True


def _confirmed(coordinator: Coordinator, findings: Iterable[Finding]) -> Iterator[Finding]:
    for finding in findings:
        if finding.recheck is None:
            yield finding
            continue
        with _quiet(coordinator, finding.repository):
            try:
                again = finding.recheck()
            except OSError as error:
                again = unreadable(finding.path, error)
        if again is not None:
            yield again


@contextmanager
def _quiet(coordinator: Coordinator, name: RepositoryName | None) -> Iterator[None]:
    with ExitStack() as locks:
        for wanted in dict.fromkeys((name, None)):  # on a full disk the repository's lock alone may be missing
            try:
                locks.enter_context(coordinator.quiet(wanted))
                break
            except OSError as error:
                # Where nothing can be written no server writes either, and each finding is shown all the same.
                if error.errno not in READ_ONLY:
                    raise
        yield
