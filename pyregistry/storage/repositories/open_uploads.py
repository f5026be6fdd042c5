"""Open uploads, with their sizes and idle times."""

from collections.abc import Callable
from dataclasses import dataclass

from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.storage.repositories.registry import Registry
from pyregistry.storage.seams.uploads import Upload
from pyregistry.threads.fair_scheduler import Walk

Skip = Callable[[Upload, OSError], None]


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """An open upload with its state at one moment."""

    upload: Upload
    size: int
    """Size in bytes."""
    changed_ns: int
    """Time of the last byte, in nanoseconds since the epoch."""

    @property
    def id(self) -> UploadId:
        """Id of the upload."""
        return self.upload.id

    @property
    def repository(self) -> RepositoryName:
        """Repository in which it was begun."""
        return self.upload.repository


def walk_uploads(registry: Registry, skip: Skip) -> Walk[list[OpenUpload]]:
    """Walk to all open uploads; return them by idle time, longest first.

    `skip` is called for those that cannot be read.
    """
    found = []
    for upload in registry.list_uploads():
        yield
        if upload is None:
            continue
        try:
            state = upload.state()
        except OSError as error:
            skip(upload, error)
        else:
            if state is not None:
                found.append(OpenUpload(upload, state.size, state.changed_ns))
    return sorted(found, key=lambda each: each.changed_ns)


def list_uploads(registry: Registry, skip: Skip) -> list[OpenUpload]:
    """Return the result of `walk_uploads`, without a pause. Blocks."""
    steps = walk_uploads(registry, skip)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: list[OpenUpload] = end.value
            return found
