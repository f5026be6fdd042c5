"""Sweeping: short batches in which no writer commits anything, and a second look at each thing before it goes.

What was touched since it was enumerated is relied on by somebody, and stays; so does all that is below a manifest that
stays. Links go before what they name, and an index before its children, so that whoever kills this in between leaves
nothing that refers to what is gone.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TypeVar

from pyregistry.common.system_errors import in_words
from pyregistry.gc import batches
from pyregistry.gc.marking import Marker
from pyregistry.gc.repository_marks import RepositoryMarks
from pyregistry.gc.types import DoomedLayer, DoomedManifest, MarkFailed, Plan, Report
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Batch
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import ensure_shape, exists
from pyregistry.storage.seams.objects import PathNotFound

T = TypeVar("T")


class Sweep:
    """Carries out a plan, which `marker` made."""

    def __init__(self, marker: Marker, plan: Plan, report: Report) -> None:
        self._driver = marker.driver
        self._collection = marker.collection
        self._marker = marker
        self._plan = plan
        self._report = report
        self._listener = marker.listener

    def run(self) -> None:
        """Remove what the plan names and nobody relies on by now.

        Raises MarkFailed, and OSError if a power cut might bring back a link to what is to go next.
        """
        # Synced even if this run has removed nothing yet: what named a blob may have gone in a run that was killed, or
        # whose sync failed, in a deletion that was answered 500, or by an operator's `rm`, and none of them has synced.
        self._in_batches(self._plan.manifests, self._remove_manifests)
        if self._plan.links:
            self._collection.settle()
        self._in_batches(self._plan.links, self._remove_link)
        if next(self._plan.blobs(), None) is not None and (self._report.links_removed or not self._plan.links):
            self._collection.settle()
        self._in_batches(self._plan.blobs(), self._remove_blob)
        self._in_batches(self._marker.maybe_empty(), self._remove_if_empty)

    def _in_batches(self, doomed: Iterable[T], remove: Callable[[Batch, T], None]) -> None:
        left = iter(doomed)
        some = list(islice(left, batches.BATCH))
        while some:
            with self._collection.batch() as batch:
                begin = time.monotonic()  # the wait for the lock is no part of it, or a busy registry is never swept
                while some and time.monotonic() - begin < batches.BATCH_SECONDS:
                    self._try(partial(remove, batch), some.pop(0))
            self._listener.batch_is_over()
            self._collection.free()  # freeing gigabytes takes long, and needs no lock
            time.sleep(batches.BREATH)
            some += islice(left, batches.BATCH - len(some))

    def _try(self, remove: Callable[[T], None], doomed: T) -> None:
        try:
            remove(doomed)
        except OSError as error:
            self._listener.skipped(in_words(error))

    def _remove_manifests(self, batch: Batch, group: tuple[DoomedManifest, ...]) -> None:
        marks = self._marker.repositories[group[0].repository]
        if any(marks.is_kept(each.digest) for each in group):
            return  # something above it stays, and so does all of the group
        try:
            if self._is_unused(batch, group, marks):
                self._remove_group(batch, group, marks)
                return
        except OSError as error:  # it is still there, so nothing below it may go
            self._listener.skipped(in_words(error))
        try:
            marks.keep(each.digest for each in group)
            marks.require_read()
        except OSError as error:
            raise MarkFailed(in_words(error)) from error

    def _is_unused(self, batch: Batch, group: tuple[DoomedManifest, ...], marks: RepositoryMarks) -> bool:
        # A referrer may be there before its subject, which is pushed just now.
        for subject in filter(None, (marks.subject_of(each.digest) for each in group)):
            if not batch.is_unchanged(subject, self._plan.candidates.generation(subject)):
                return False
        return batch.may_remove([self._plan.doomed_manifest(each) for each in group])

    def _remove_group(self, batch: Batch, group: tuple[DoomedManifest, ...], marks: RepositoryMarks) -> None:
        for each in group:
            subject = marks.subject_of(each.digest)
            if self._remove(batch, "manifest", layout.revision(each.repository, each.digest)):
                self._report.manifests_removed += 1
            if subject is not None:
                with suppress(PathNotFound):
                    batch.remove(layout.referrer(each.repository, subject, each.digest))
                batch.prune(layout.referrers(each.repository, subject))

    def _remove_link(self, batch: Batch, link: DoomedLayer) -> None:
        if not self._marker.is_doomed(link) or not batch.may_remove([self._plan.doomed_link(link)]):
            return  # by now a manifest stays that has it below, or a writer relies on it
        try:
            if self._marker.repositories[link.repository].target(link.digest) != link.target:
                return  # an upload or a mount made it lead to other bytes, so it is the record of those that changed
        except PathNotFound:
            return
        if self._remove(batch, "layer link", layout.layer(link.repository, link.digest)):
            self._report.links_removed += 1

    def _remove_blob(self, batch: Batch, blob: tuple[Digest, int]) -> None:
        digest, size = blob
        if batch.may_remove([self._plan.doomed_blob(digest)]) and self._remove(batch, "blob", layout.blob(digest)):
            self._report.blobs_removed += 1
            self._report.bytes_freed += size

    def _remove(self, batch: Batch, what: str, path: StoragePath) -> bool:
        try:
            batch.remove(path)
        except PathNotFound:  # somebody was quicker
            return False
        self._listener.removed(what, path)
        return True

    def _remove_if_empty(self, batch: Batch, name: RepositoryName) -> None:
        """Remove the directories of a repository in which nothing is left, and the namespaces around it."""
        existed = exists(self._driver, layout.manifests(name)) or exists(self._driver, layout.layers(name))
        if not all(batch.prune(part(name)) for part in (layout.uploads, layout.layers, layout.manifests)):
            if existed:
                ensure_shape(self._driver, name)
            return
        with suppress(PathNotFound):
            batch.remove(layout.all_referrers(name))
        for path in layout.repository_and_above(name):
            if next(self._driver.children(path), None) is not None:
                break
            batch.prune(path)
        if existed:
            self._report.repositories_removed += 1
            self._listener.removed("repository", layout.repository(name))
