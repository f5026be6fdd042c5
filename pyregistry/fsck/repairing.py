"""Mending what can be mended exactly. What is lost stays lost, but nothing claims any more to have it.

Each finding is looked at once more, in a section in which neither a writer nor the collector is between two of its
steps; what is well by then is left alone.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime

from pyregistry.fsck.findings import Finding, Kind
from pyregistry.fsck.hashing import put_into_quarantine, quarantine_if_damaged
from pyregistry.fsck.links import LinkLooks
from pyregistry.oci.digest import Digest
from pyregistry.oci.manifest import read_manifest
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.local import leases
from pyregistry.storage.local.driver import Driver
from pyregistry.storage.local.locking import repository_lock
from pyregistry.storage.repositories.referrers import Referrers
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.links import ensure_shape, write_link
from pyregistry.storage.seams.objects import PathNotFound


def repair(driver: Driver, finding: Finding) -> str | None:
    """Mend one finding; what was done, or None if nothing could be or had to be. Blocks. Raises OSError."""
    if finding.kind in _BY_READING:
        assert finding.digest is not None
        if not quarantine_if_damaged(driver, finding.digest):
            return None
        _remove_dangling_revision(driver, finding)
        return "quarantined"
    mend = _MENDING.get(finding.kind)
    if mend is None or finding.look is None:
        return None
    with ExitStack() as held:
        held.enter_context(leases.exclusive_section(driver))
        if finding.repository is not None:
            held.enter_context(repository_lock(driver, finding.repository))
        now = finding.look()
        return mend(driver, now) if now is not None and now.kind is finding.kind else None


def is_lost(finding: Finding, mended: str | None) -> bool:
    """Whether images cannot be pulled whole until they are pushed again."""
    return bool(finding.lost) and (finding.kind is not Kind.TORN_TAG or mended in (None, _REMOVED))


_REMOVED = "removed"
_BY_READING = frozenset({Kind.CORRUPT_BLOB, Kind.UNREADABLE_BLOB, Kind.DAMAGED_MANIFEST})


def _remove_dangling_revision(driver: Driver, finding: Finding) -> None:
    if finding.kind is Kind.DAMAGED_MANIFEST and finding.repository is not None and finding.digest is not None:
        revision = LinkLooks(driver, finding.repository, lambda digest: ()).revision(finding.digest)
        if revision is not None:
            repair(driver, revision)


def _write_link(driver: Driver, finding: Finding) -> str:
    assert finding.digest is not None
    # A link that is written is a lease, and a lease means that the blob was touched before.
    with suppress(PathNotFound):
        leases.touch(driver, finding.digest)
    write_link(driver, finding.path, finding.digest)
    return "written again"


def _remove_layer(driver: Driver, finding: Finding) -> str:
    assert finding.digest is not None
    return _remove(driver, layout.layer(_repository(finding), finding.digest))


def _remove_revision(driver: Driver, finding: Finding) -> str:
    assert finding.digest is not None
    return _remove(driver, layout.revision(_repository(finding), finding.digest))


def _remove_tag(driver: Driver, finding: Finding) -> str:
    assert finding.tag is not None
    return _remove(driver, layout.tag(_repository(finding), finding.tag))


def _set_tag(driver: Driver, finding: Finding) -> str:
    assert finding.tag is not None
    name = _repository(finding)
    newest = LinkLooks(driver, name, lambda digest: ()).newest_in_index(finding.tag)
    if newest is None:
        return _remove_tag(driver, finding)
    leases.touch(driver, newest)  # as each writer does that lets a tag name a manifest
    write_link(driver, finding.path, newest)
    return f"set to {newest}, the newest by the times of its links"  # a copy of the tree may have lost them


def _quarantine_empty(driver: Driver, finding: Finding) -> str:
    assert finding.digest is not None
    with suppress(PathNotFound):
        put_into_quarantine(driver, finding.digest, driver.stat(finding.path).content_id)
    return "quarantined"


def _make_shape(driver: Driver, finding: Finding) -> str:
    ensure_shape(driver, _repository(finding))
    return "made"


def _add_referrer(driver: Driver, finding: Finding) -> str:
    assert finding.digest is not None
    content = driver.read(layout.blob_data(finding.digest))
    manifest = read_manifest(content)
    assert manifest.subject is not None
    subject = Digest(manifest.subject.digest)
    Referrers(driver, _repository(finding)).add(subject, finding.digest, manifest, len(content))
    return "made"


def _remove_referrer(driver: Driver, finding: Finding) -> str:
    _remove(driver, finding.path)
    driver.prune(layout.all_referrers(_repository(finding)))
    return _REMOVED


def _write_start(driver: Driver, finding: Finding) -> str:
    assert finding.upload is not None
    name = _repository(finding)
    seconds = driver.stat(layout.upload_data(name, finding.upload)).modified_ns // 10**9
    started_at = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    driver.write(layout.upload_started_at(name, finding.upload), started_at.encode())
    return "written"


def _remove_path(driver: Driver, finding: Finding) -> str:
    return _remove(driver, finding.path)


def _remove(driver: Driver, path: StoragePath) -> str:
    with suppress(PathNotFound):
        driver.delete(path)
    return _REMOVED


def _repository(finding: Finding) -> RepositoryName:
    assert finding.repository is not None
    return finding.repository


_MENDING: Mapping[Kind, Callable[[Driver, Finding], str]] = {
    Kind.TORN_LINK: _write_link,
    Kind.TORN_TAG: _set_tag,
    Kind.PADDED_LINK: _write_link,
    Kind.DANGLING_LAYER: _remove_layer,
    Kind.DANGLING_TAG: _remove_tag,
    Kind.UNFINISHED_TAG: _remove_tag,
    Kind.MISSING_MANIFEST: _remove_revision,
    Kind.EMPTY_BLOB: _quarantine_empty,
    Kind.NO_DATA: _remove_path,
    Kind.NO_LAYERS: _make_shape,
    Kind.NO_MANIFESTS: _make_shape,
    Kind.MISSING_REFERRER: _add_referrer,
    Kind.UNLISTED_REFERRER: _add_referrer,
    Kind.STALE_REFERRER: _remove_referrer,
    Kind.NO_START: _write_start,
    Kind.EMPTY_UPLOAD: _remove_path,
    Kind.TEMPORARY: _remove_path,
    Kind.OLD_RECORD: _remove_path,
}
