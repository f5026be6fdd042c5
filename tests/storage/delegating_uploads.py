"""Uploads around other ones: each call passes one hook, so that a wrapper is a few lines."""

import errno
from collections.abc import AsyncIterable, Iterator
from contextlib import contextmanager

from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.storage.seams.uploads import DirectReader, Upload, Uploads, UploadState


class DelegatingUploads:
    """Do what `inner` does. See Uploads."""

    def __init__(self, inner: Uploads) -> None:
        self._inner = inner

    @contextmanager
    def around(self, verb: str) -> Iterator[None]:
        """Do one call of `verb` in the block."""
        yield

    def begin(self, name: RepositoryName, upload_id: UploadId, algorithm: str, owner: str | None, size: int) -> Upload:
        with self.around("begin"):
            return DelegatingUpload(self, self._inner.begin(name, upload_id, algorithm, owner, size))

    def open(self, name: RepositoryName, upload_id: UploadId) -> Upload:
        return DelegatingUpload(self, self._inner.open(name, upload_id))  # asks the storage nothing

    def list(self, name: RepositoryName) -> Iterator[Upload]:
        with self.around("list"):
            found = list(self._inner.list(name))
        yield from (DelegatingUpload(self, each) for each in found)


class DelegatingUpload(Upload):
    """Do what `inner` does. See Upload."""

    def __init__(self, uploads: DelegatingUploads, inner: Upload) -> None:
        self._uploads = uploads
        self._inner = inner

    @property
    def repository(self) -> RepositoryName:
        return self._inner.repository

    @property
    def id(self) -> UploadId:
        return self._inner.id

    def check_owner(self, user: str | None) -> None:
        with self._uploads.around("check_owner"):
            self._inner.check_owner(user)

    def admit(self, user: str | None, size: int) -> None:
        with self._uploads.around("admit"):
            self._inner.admit(user, size)

    def offset(self) -> int:
        with self._uploads.around("offset"):
            return self._inner.offset()

    def state(self) -> UploadState | None:
        with self._uploads.around("state"):
            return self._inner.state()

    def available_bytes(self) -> int:
        with self._uploads.around("available_bytes"):
            return self._inner.available_bytes()

    async def append(
        self,
        chunks: AsyncIterable[bytes],
        at: int | None = None,
        length: int | None = None,
        direct: DirectReader | None = None,
    ) -> int:
        with self._uploads.around("append"):
            return await self._inner.append(chunks, at, length, direct)

    async def commit(
        self,
        digest: Digest,
        chunks: AsyncIterable[bytes],
        at: int | None = None,
        length: int | None = None,
        direct: DirectReader | None = None,
    ) -> int:
        with self._uploads.around("commit"):
            return await self._inner.commit(digest, chunks, at, length, direct)

    async def append_at_once(self, data: bytes, user: str | None, at: int | None = None) -> int:
        with self._uploads.around("append_at_once"):
            return await self._inner.append_at_once(data, user, at)

    async def commit_at_once(self, digest: Digest, data: bytes, user: str | None, at: int | None = None) -> int:
        with self._uploads.around("commit_at_once"):
            return await self._inner.commit_at_once(digest, data, user, at)

    async def cancel(self) -> None:
        with self._uploads.around("cancel"):
            await self._inner.cancel()

    async def expire(self, before_ns: int) -> bool:
        with self._uploads.around("expire"):
            return await self._inner.expire(before_ns)

    def remove(self) -> None:
        with self._uploads.around("remove"):
            self._inner.remove()


class FailingUploads(DelegatingUploads):
    """Does what `inner` does until call number `fails_at`, which raises EIO: before its work, or after it."""

    def __init__(self, inner: Uploads, fails_at: int, *, after: bool = False) -> None:
        super().__init__(inner)
        self._left = fails_at
        self._after = after
        self.failed_in: str | None = None

    @contextmanager
    def around(self, verb: str) -> Iterator[None]:
        self._left -= 1
        fails = self._left == 0
        if fails and not self._after:
            self._fail(verb)
        yield
        if fails:
            self._fail(verb)

    def _fail(self, verb: str) -> None:
        self.failed_in = verb
        raise OSError(errno.EIO, "as ordered")
