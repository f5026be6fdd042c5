"""Exact repairs. Lost content stays lost, but nothing refers to it afterwards.

A repair looks once more in a quiet moment: neither a writer nor the collector is between two steps. A finding that is
gone is left alone.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from pyregistry.fsck.findings import Finding, Kind
from pyregistry.fsck.hashing import quarantine_if_damaged
from pyregistry.fsck.links import LinkChecks
from pyregistry.oci.digest import Digest
from pyregistry.oci.manifest import read_manifest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.repositories.referrers import Referrers
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.coordinator import Coordinator, Quiet
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import ensure_shape, write_link
from pyregistry.storage.seams.objects import Objects, PathNotFound


def repair(objects: Objects, coordinator: Coordinator, finding: Finding) -> str | None:
    """Repair one finding; return how, or None if nothing could or had to be done. Blocks. Raises OSError."""
    if finding.kind in _BY_READING:
        assert finding.digest is not None
        if not quarantine_if_damaged(objects, coordinator, finding.digest):
            return None
        _remove_dangling_revision(objects, coordinator, finding)
        return "quarantined"
    how = _REPAIRS.get(finding.kind)
    if how is None or finding.recheck is None:
        return None
    with coordinator.quiet(finding.repository) as quiet:
        now = finding.recheck()
        return how(_Repairs(objects, quiet), now) if now is not None and now.kind is finding.kind else None


def is_lost(finding: Finding, repaired: str | None) -> bool:
    """Return True if images cannot be pulled whole until they are pushed again."""
    return bool(finding.lost) and (finding.kind is not Kind.TORN_TAG or repaired in (None, _REMOVED))


_REMOVED = "removed"
_BY_READING = frozenset({Kind.CORRUPT_BLOB, Kind.UNREADABLE_BLOB, Kind.DAMAGED_MANIFEST})


def _remove_dangling_revision(objects: Objects, coordinator: Coordinator, finding: Finding) -> None:
    if finding.kind is Kind.DAMAGED_MANIFEST and finding.repository is not None and finding.digest is not None:
        revision = LinkChecks(objects, finding.repository, lambda digest: ()).revision(finding.digest)
        if revision is not None:
            repair(objects, coordinator, revision)


class _Repairs:
    """The repairs of a quiet moment; each returns what was done."""

    def __init__(self, objects: Objects, quiet: Quiet) -> None:
        self._objects = objects
        self._quiet = quiet

    def write_link(self, finding: Finding) -> str:
        assert finding.digest is not None
        # A link that is written is a lease, and a lease means that the blob was claimed before.
        with suppress(PathNotFound):
            self._quiet.claim(finding.digest)
        write_link(self._objects, finding.path, finding.digest)
        return "written again"

    def remove_layer(self, finding: Finding) -> str:
        assert finding.digest is not None
        return self._remove(layout.layer(_repository(finding), finding.digest))

    def remove_revision(self, finding: Finding) -> str:
        assert finding.digest is not None
        return self._remove(layout.revision(_repository(finding), finding.digest))

    def remove_tag(self, finding: Finding) -> str:
        assert finding.tag is not None
        return self._remove(layout.tag(_repository(finding), finding.tag))

    def set_tag(self, finding: Finding) -> str:
        assert finding.tag is not None
        newest = LinkChecks(self._objects, _repository(finding), lambda digest: ()).newest_in_index(finding.tag)
        if newest is None:
            return self.remove_tag(finding)
        self._quiet.claim(newest)  # as each writer does that lets a tag name a manifest
        write_link(self._objects, finding.path, newest)
        return f"set to {newest}, the newest by the times of its links"  # a copy of the tree may have lost them

    def quarantine_empty(self, finding: Finding) -> str:
        assert finding.digest is not None
        with suppress(PathNotFound):
            self._quiet.quarantine(finding.digest)
        return "quarantined"

    def make_shape(self, finding: Finding) -> str:
        ensure_shape(self._objects, _repository(finding))
        return "made"

    def add_referrer(self, finding: Finding) -> str:
        assert finding.digest is not None
        content = self._objects.read(layout.blob_data(finding.digest))
        manifest = read_manifest(content)
        assert manifest.subject is not None
        subject = Digest(manifest.subject.digest)
        Referrers(self._objects, _repository(finding)).add(subject, finding.digest, manifest, len(content))
        return "made"

    def remove_referrer(self, finding: Finding) -> str:
        self._remove(finding.path)
        self._quiet.prune(layout.all_referrers(_repository(finding)))
        return _REMOVED

    def write_start(self, finding: Finding) -> str:
        assert finding.upload is not None
        name = _repository(finding)
        seconds = self._objects.stat(layout.upload_data(name, finding.upload)).modified_ns // 10**9
        started_at = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._objects.write(layout.upload_started_at(name, finding.upload), started_at.encode())
        return "written"

    def remove_path(self, finding: Finding) -> str:
        return self._remove(finding.path)

    def _remove(self, path: StoragePath) -> str:
        with suppress(PathNotFound):
            self._objects.delete(path)
        return _REMOVED


def _repository(finding: Finding) -> RepositoryName:
    assert finding.repository is not None
    return finding.repository


_REPAIRS: Mapping[Kind, Callable[[_Repairs, Finding], str]] = {
    Kind.TORN_LINK: _Repairs.write_link,
    Kind.TORN_TAG: _Repairs.set_tag,
    Kind.PADDED_LINK: _Repairs.write_link,
    Kind.DANGLING_LAYER: _Repairs.remove_layer,
    Kind.DANGLING_TAG: _Repairs.remove_tag,
    Kind.UNFINISHED_TAG: _Repairs.remove_tag,
    Kind.MISSING_MANIFEST: _Repairs.remove_revision,
    Kind.EMPTY_BLOB: _Repairs.quarantine_empty,
    Kind.NO_DATA: _Repairs.remove_path,
    Kind.NO_LAYERS: _Repairs.make_shape,
    Kind.NO_MANIFESTS: _Repairs.make_shape,
    Kind.MISSING_REFERRER: _Repairs.add_referrer,
    Kind.UNLISTED_REFERRER: _Repairs.add_referrer,
    Kind.STALE_REFERRER: _Repairs.remove_referrer,
    Kind.NO_START: _Repairs.write_start,
    Kind.EMPTY_UPLOAD: _Repairs.remove_path,
    Kind.TEMPORARY: _Repairs.remove_path,
    Kind.OLD_RECORD: _Repairs.remove_path,
}
