"""The removals of one `pyregistry rm`."""

from collections.abc import Callable, Iterator
from contextlib import suppress

from pyregistry.cli.selection import Selected
from pyregistry.gc.untagging import Untagging
from pyregistry.oci.digest import Digest
from pyregistry.oci.errors import ManifestUnknown
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.backend import Backend
from pyregistry.storage.repositories.removing import remove_repository, remove_tag

Failed = Callable[[Selected, OSError], None]
"""Called immediately for each selection that could not be removed."""


class Removals:
    """Removes selections, or with `dry_run` only lists them; `grace` in seconds, as in garbage collection."""

    def __init__(self, backend: Backend, grace: float, *, dry_run: bool, delete_untagged: bool) -> None:
        self._backend = backend
        self._grace = grace
        self._dry_run = dry_run
        self._delete_untagged = delete_untagged
        self.removed: list[Selected] = []
        self.kept: list[tuple[Selected, str]] = []
        """Manifests that lost a tag but were kept in spite of `delete_untagged`, with the reasons."""
        self.failed = False

    def remove_all(self, selected: list[Selected], tell: Failed) -> None:
        """Remove the selections. Blocks."""
        alone = selected
        if self._delete_untagged:
            alone = [each for each in selected if each.tag is None and each.digest is None]
            whole = {each.repository for each in alone}
            names = dict.fromkeys(each.repository for each in selected if each.repository not in whole)
            for name in names:
                self._remove_with_untagged(name, [each for each in selected if each.repository == name], tell)
        for each in alone:
            try:
                if self._dry_run or self._remove_one(each):
                    self.removed.append(each)
            except OSError as error:
                self._fail(each, error, tell)

    def document(self) -> dict[str, object]:
        """Return the document for `--json`."""
        return {
            "dry_run": self._dry_run,
            "removed": [str(each) for each in self.removed],
            "kept": [{"manifest": str(each), "reason": reason} for each, reason in self.kept],
        }

    def what_frees(self) -> Iterator[str]:
        """Yield advice on commands that free the space of the removed content."""
        tags = any(each.tag is not None for each in self.removed)
        if tags and not self._delete_untagged:
            yield (
                "the manifests of removed tags stay: pyregistry gc -m deletes those that are untagged now, "
                "and frees the space"
            )
        if any(each.tag is None for each in self.removed):
            yield "pyregistry gc frees the space"

    def _fail(self, each: Selected, error: OSError, tell: Failed) -> None:
        self.failed = True
        tell(each, error)

    def _remove_one(self, each: Selected) -> bool:
        if each.tag is not None:
            return remove_tag(self._backend.objects, self._backend.coordinator, each.repository, each.tag)
        if each.digest is None:
            return remove_repository(self._backend.objects, self._backend.coordinator, each.repository)
        with suppress(ManifestUnknown):  # another removal was faster
            self._backend.registry().repository(each.repository).delete_manifest(each.digest)
            return True
        return False

    def _remove_with_untagged(self, name: RepositoryName, selected: list[Selected], tell: Failed) -> None:
        untagging = Untagging(self._backend.objects, self._backend.coordinator, name, self._grace)
        run = untagging.plan if self._dry_run else untagging.remove
        tags = [each.tag for each in selected if each.tag is not None]
        digests = [each.digest for each in selected if each.digest is not None]
        try:
            for each in run(tags, digests):
                self.removed.append(_selected(name, each))
        except OSError as error:
            self._fail(Selected(name), error, tell)
        self.kept += ((Selected(name, digest=digest), reason) for digest, reason in untagging.kept.items())
        if untagging.undecided is not None:
            self.failed = True
            self.kept.append(
                (Selected(name), f"its untagged manifests stay: {untagging.undecided}; see pyregistry fsck")
            )


def _selected(name: RepositoryName, each: Tag | Digest) -> Selected:
    return Selected(name, tag=each) if isinstance(each, Tag) else Selected(name, digest=each)
