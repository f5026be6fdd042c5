"""Sweeping: short batches in which no writer commits anything, and a second look at each thing before it goes.

What was touched since it was enumerated is relied on by somebody, and stays; so does all that is below a manifest that
stays. Links go before what they name, and an index before its children, so that whoever kills this in between leaves
nothing that refers to what is gone.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import TypeVar

from pyregistry.gc import batches
from pyregistry.gc.marking import Marker
from pyregistry.gc.outcome import DoomedLayer, DoomedManifest, Listener, MarkFailed, Plan, Report
from pyregistry.gc.repository_marks import RepositoryMarks
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage import layout, leases
from pyregistry.storage.driver import Driver, PathNotFound, Stat
from pyregistry.storage.layout import StoragePath
from pyregistry.storage.links import ensure_shape, exists
from pyregistry.system_errors import in_words

T = TypeVar("T")


class Sweep:
    """Carries out a plan, which `marker` made."""

    def __init__(self, driver: Driver, marker: Marker, plan: Plan, report: Report, listener: Listener) -> None:
        self._driver = driver
        self._marker = marker
        self._plan = plan
        self._report = report
        self._listener = listener

    def run(self) -> None:
        """Remove what the plan names and nobody relies on by now.

        Raises MarkFailed, and OSError if a power cut might bring back a link to what is to go next.
        """
        # Synced even if this run has removed nothing yet: what named a blob may have gone in a run that was killed, or
        # whose sync failed, in a deletion that was answered 500, or by an operator's `rm`, and none of them has synced.
        self._in_batches(self._plan.manifests, self._remove_manifests)
        if self._plan.links:
            self._driver.sync()
        self._in_batches(self._plan.links, self._remove_link)
        if next(self._plan.blobs(), None) is not None and (self._report.links_removed or not self._plan.links):
            self._driver.sync()
        self._in_batches(self._plan.blobs(), self._remove_blob)
        self._in_batches(self._marker.maybe_empty(), self._remove_if_empty)

    def _in_batches(self, doomed: Iterable[T], remove: Callable[[T], None]) -> None:
        left = iter(doomed)
        batch = list(islice(left, batches.BATCH))
        while batch:
            with leases.exclusive_section(self._driver):
                begin = time.monotonic()  # the wait for the lock is no part of it, or a busy registry is never swept
                while batch and time.monotonic() - begin < batches.BATCH_SECONDS:
                    self._try(remove, batch.pop(0))
            self._listener.batch_is_over()
            self._driver.empty_trash()  # freeing gigabytes takes long, and needs no lock
            time.sleep(batches.BREATH)
            batch += islice(left, batches.BATCH - len(batch))

    def _try(self, remove: Callable[[T], None], doomed: T) -> None:
        try:
            remove(doomed)
        except OSError as error:
            self._listener.skipped(in_words(error))

    def _remove_manifests(self, group: tuple[DoomedManifest, ...]) -> None:
        marks = self._marker.repositories[group[0].repository]
        if any(marks.is_kept(each.digest) for each in group):
            return  # something above it stays, and so does all of the group
        try:
            if all(self._is_unused(each.digest, marks) for each in group):
                self._remove_group(group, marks)
                return
        except OSError as error:  # it is still there, so nothing below it may go
            self._listener.skipped(in_words(error))
        try:
            marks.keep(each.digest for each in group)
            marks.require_read()
        except OSError as error:
            raise MarkFailed(in_words(error)) from error

    def _is_unused(self, digest: Digest, marks: RepositoryMarks) -> bool:
        # A referrer may be there before its subject, which is pushed just now.
        subject = marks.subject_of(digest)
        return self._is_unchanged(digest) and (subject is None or self._is_unchanged(subject))

    def _remove_group(self, group: tuple[DoomedManifest, ...], marks: RepositoryMarks) -> None:
        for each in group:
            subject = marks.subject_of(each.digest)
            if self._discard("manifest", layout.revision(each.repository, each.digest)):
                self._report.manifests_removed += 1
            if subject is not None:
                with suppress(PathNotFound):
                    self._driver.discard(layout.referrer(each.repository, subject, each.digest))
                self._driver.prune(layout.referrers(each.repository, subject))

    def _remove_link(self, link: DoomedLayer) -> None:
        if not self._marker.is_doomed(link) or not self._is_unchanged(link.target):
            return  # by now a manifest stays that has it below, or somebody relies on it
        try:
            if self._marker.repositories[link.repository].target(link.digest) != link.target:
                return  # an upload or a mount made it lead to other bytes, so it is the record of those that changed
        except PathNotFound:
            return
        if self._discard("layer link", layout.layer(link.repository, link.digest)):
            self._report.links_removed += 1

    def _remove_blob(self, blob: tuple[Digest, int]) -> None:
        digest, size = blob
        if self._is_unchanged(digest) and self._discard("blob", layout.blob(digest)):
            self._report.blobs_removed += 1
            self._report.bytes_freed += size

    def _is_unchanged(self, digest: Digest) -> bool:
        now: Stat | None = None
        with suppress(PathNotFound):
            now = self._driver.stat(layout.blob_data(digest))
        return self._plan.candidates.is_unchanged(digest, now) and not leases.is_marked(self._driver, digest)

    def _discard(self, what: str, path: StoragePath) -> bool:
        try:
            self._driver.discard(path)
        except PathNotFound:  # somebody was quicker
            return False
        self._listener.removed(what, path)
        return True

    def _remove_if_empty(self, name: RepositoryName) -> None:
        """Remove the directories of a repository in which nothing is left, and the namespaces around it."""
        existed = exists(self._driver, layout.manifests(name)) or exists(self._driver, layout.layers(name))
        if not all(self._driver.prune(part(name)) for part in (layout.uploads, layout.layers, layout.manifests)):
            if existed:
                ensure_shape(self._driver, name)
            return
        with suppress(PathNotFound):
            self._driver.discard(layout.all_referrers(name))
        for path in layout.repository_and_above(name):
            if next(self._driver.children(path), None) is not None:
                break
            self._driver.prune(path)
        if existed:
            self._report.repositories_removed += 1
            self._listener.removed("repository", layout.repository(name))
