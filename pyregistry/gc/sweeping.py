"""Sweeping: short batches in which no writer commits anything, and a second check of each item before its removal.

A writer relies on content that was touched since it was enumerated, so this stays. All that is below a manifest that
stays is kept too. Links are removed before their content, and an index before its children. So a run that is killed
leaves no reference to removed content.
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
from pyregistry.gc.types import GarbageLink, GarbageManifest, MarkFailed, Plan, Report
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Batch
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import ensure_shape, exists
from pyregistry.storage.seams.objects import PathNotFound

T = TypeVar("T")


class Sweep:
    """Carries out a plan of `marker`."""

    def __init__(self, marker: Marker, plan: Plan, report: Report) -> None:
        self._objects = marker.objects
        self._collection = marker.collection
        self._marker = marker
        self._plan = plan
        self._report = report
        self._observer = marker.observer

    def run(self) -> None:
        """Remove the garbage of the plan, unless a writer relies on it meanwhile.

        Raises MarkFailed, and OSError if a power cut might bring back a link to the next removals.
        """
        # Synced even if this run has removed nothing yet: the link to a blob may have been removed without a sync. A
        # run that was killed, a failed sync, a deletion with a 500, and an operator's `rm` do that.
        self._in_batches(self._plan.manifests, self._remove_manifests)
        if self._plan.links:
            self._collection.settle()
        self._in_batches(self._plan.links, self._remove_link)
        if next(self._plan.blobs(), None) is not None and (self._report.links_removed or not self._plan.links):
            self._collection.settle()
        self._in_batches(self._plan.blobs(), self._remove_blob)
        self._in_batches(self._marker.maybe_empty(), self._remove_if_empty)

    def _in_batches(self, garbage: Iterable[T], remove: Callable[[Batch, T], None]) -> None:
        left = iter(garbage)
        some = list(islice(left, batches.BATCH))
        while some:
            with self._collection.batch() as batch:
                begin = time.monotonic()  # without the wait for the lock, or a busy registry would never be swept
                while some and time.monotonic() - begin < batches.BATCH_SECONDS:
                    self._try(partial(remove, batch), some.pop(0))
            self._observer.batch_is_over()
            self._collection.free()  # to free gigabytes takes long, and needs no lock
            time.sleep(batches.PAUSE_SECONDS)
            some += islice(left, batches.BATCH - len(some))

    def _try(self, remove: Callable[[T], None], garbage: T) -> None:
        try:
            remove(garbage)
        except OSError as error:
            self._observer.skipped(in_words(error))

    def _remove_manifests(self, batch: Batch, group: tuple[GarbageManifest, ...]) -> None:
        marks = self._marker.repositories[group[0].repository]
        if any(marks.is_kept(each.digest) for each in group):
            return  # a manifest above it stays, and so the whole group does
        try:
            if self._is_unused(batch, group, marks):
                self._remove_group(batch, group, marks)
                return
        except OSError as error:  # it still exists, so its references stay
            self._observer.skipped(in_words(error))
        try:
            marks.keep(each.digest for each in group)
            marks.require_read()
        except OSError as error:
            raise MarkFailed(in_words(error)) from error

    def _is_unused(self, batch: Batch, group: tuple[GarbageManifest, ...], marks: RepositoryMarks) -> bool:
        # A referrer may exist before its subject, which may be pushed at this moment.
        for subject in filter(None, (marks.subject_of(each.digest) for each in group)):
            if not batch.is_unchanged(subject, self._plan.candidates.generation(subject)):
                return False
        return batch.may_remove([self._plan.garbage_manifest(each) for each in group])

    def _remove_group(self, batch: Batch, group: tuple[GarbageManifest, ...], marks: RepositoryMarks) -> None:
        for each in group:
            subject = marks.subject_of(each.digest)
            if self._remove(batch, "manifest", layout.revision(each.repository, each.digest)):
                self._report.manifests_removed += 1
            if subject is not None:
                with suppress(PathNotFound):
                    batch.remove(layout.referrer(each.repository, subject, each.digest))
                batch.prune(layout.referrers(each.repository, subject))

    def _remove_link(self, batch: Batch, link: GarbageLink) -> None:
        if not self._marker.is_garbage(link) or not batch.may_remove([self._plan.garbage_link(link)]):
            return  # a manifest that refers to it stays meanwhile, or a writer relies on it
        try:
            if self._marker.repositories[link.repository].target(link.digest) != link.target:
                return  # an upload or a mount has pointed it to other bytes, whose generation changed
        except PathNotFound:
            return
        if self._remove(batch, "layer link", layout.layer(link.repository, link.digest)):
            self._report.links_removed += 1

    def _remove_blob(self, batch: Batch, blob: tuple[Digest, int]) -> None:
        digest, size = blob
        if batch.may_remove([self._plan.garbage_blob(digest)]) and self._remove(batch, "blob", layout.blob(digest)):
            self._report.blobs_removed += 1
            self._report.bytes_freed += size

    def _remove(self, batch: Batch, what: str, path: StoragePath) -> bool:
        try:
            batch.remove(path)
        except PathNotFound:  # another process was quicker
            return False
        self._observer.removed(what, path)
        return True

    def _remove_if_empty(self, batch: Batch, name: RepositoryName) -> None:
        """Remove the directories of an empty repository, and its empty namespaces."""
        existed = exists(self._objects, layout.manifests(name)) or exists(self._objects, layout.layers(name))
        if not all(batch.prune(part(name)) for part in (layout.uploads, layout.layers, layout.manifests)):
            if existed:
                ensure_shape(self._objects, name)
            return
        with suppress(PathNotFound):
            batch.remove(layout.all_referrers(name))
        for path in layout.repository_and_above(name):
            if next(self._objects.children(path), None) is not None:
                break
            batch.prune(path)
        if existed:
            self._report.repositories_removed += 1
            self._observer.removed("repository", layout.repository(name))
