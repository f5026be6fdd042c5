"""The questions to an upload that do not depend on the form of its bytes. Its owner is in a checkpoint next to them."""

from abc import abstractmethod

from pyregistry.common.overriding import override
from pyregistry.oci.digest import CANONICAL, Digest
from pyregistry.oci.errors import BlobUploadUnknown
from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.objects import Objects
from pyregistry.storage.seams.uploads import Bounds, Upload, WouldBlock, check_offset
from pyregistry.storage.uploads.batches import require_space
from pyregistry.storage.uploads.hash_checkpoints import HashCheckpoint, read_checkpoint
from pyregistry.threads.offload import in_thread


class StoredUpload(Upload):
    """An upload in a storage; `max_size` is that of a blob, in bytes."""

    def __init__(
        self,
        objects: Objects,
        max_size: int,
        name: RepositoryName,
        upload_id: UploadId,
        algorithm: str = CANONICAL,
    ) -> None:
        self._objects = objects
        self._max_size = max_size
        self._name = name
        self._id = upload_id
        self._algorithm = algorithm
        self._owner = ""
        self._path = layout.upload(name, upload_id)

    @property
    @override
    def repository(self) -> RepositoryName:
        return self._name

    @property
    @override
    def id(self) -> UploadId:
        return self._id

    @override
    def check_owner(self, user: str | None) -> None:
        checkpoint = self._checkpoint()
        if checkpoint is not None:
            self._owner, self._algorithm = checkpoint.owner, checkpoint.algorithm
        if self._owner not in {"", user}:
            raise self._unknown()

    @override
    def admit(self, user: str | None, size: int) -> None:
        self.check_owner(user)
        if size <= self._max_size:  # else it is refused for another reason
            require_space(self._objects, self._path, size)

    @override
    def available_bytes(self) -> int:
        return self._objects.available_bytes(self._path)

    @override
    async def append_at_once(self, data: bytes, user: str | None, at: int | None = None) -> int:
        try:
            return await in_thread(self._append_now, data, user, at)  # one hop to a thread
        except WouldBlock:
            return await super().append_at_once(data, user, at)

    @override
    async def commit_at_once(self, digest: Digest, data: bytes, user: str | None, at: int | None = None) -> int:
        try:
            return await in_thread(self._commit_now, digest, data, user, at)
        except WouldBlock:
            return await super().commit_at_once(digest, data, user, at)

    @abstractmethod
    def _append_now(self, data: bytes, user: str | None, at: int | None) -> int:
        """Do as `append_at_once`; raise WouldBlock. Blocks."""

    @abstractmethod
    def _commit_now(self, digest: Digest, data: bytes, user: str | None, at: int | None) -> int:
        """Do as `commit_at_once`; raise WouldBlock. Blocks."""

    def _checkpoint(self) -> HashCheckpoint | None:
        return read_checkpoint(self._objects, self._id)

    def _bounds(self, offset: int, at: int | None, length: int | None) -> Bounds:
        check_offset(at, offset)
        return Bounds(offset, length, self._max_size)

    def _unknown(self) -> BlobUploadUnknown:
        return BlobUploadUnknown({"upload": self._id})
