"""The file of an upload, opened by one request at a time, and the spec's errors for what stands in the way."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager

from pyregistry.oci.errors import BlobUploadUnknown, UploadRangeInvalid
from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.storage import layout
from pyregistry.storage.driver import Appender, Driver, LockedFile, PathBusy, PathNotFound
from pyregistry.storage.threads import in_thread

_LOOKS, _PAUSE = 15, 0.02
"""How often, and how many seconds apart, it is looked whether an upload without data is about to end."""


class NotAtOnce(Exception):
    """Another request holds the file, or it is a foreign upload that has none yet: to be waited for, or made."""


def require_place(at: int | None, offset: int) -> None:
    """Raise UploadRangeInvalid where the client thinks that an upload stands elsewhere; None: it did not say."""
    if at is not None and at != offset:
        raise UploadRangeInvalid(f"this upload stands at byte {offset}, the request at {at}")


class UploadFile:
    """The bytes that an upload has received so far."""

    def __init__(self, driver: Driver, name: RepositoryName, upload_id: UploadId) -> None:
        self.path = layout.upload_data(name, upload_id)
        self._started_at = layout.upload_started_at(name, upload_id)
        self._driver = driver
        self._id = upload_id

    def offset(self) -> int:
        """How many bytes there are; raises BlobUploadUnknown. Blocks."""
        try:
            return self._driver.stat(self.path).size
        except PathNotFound:
            pass
        try:  # the CNCF registry may leave an upload without a data file
            self._driver.stat(self._started_at)
        except PathNotFound as error:
            raise BlobUploadUnknown({"upload": self._id}) from error
        return 0

    @asynccontextmanager
    async def open(self, at: int | None, wait: float) -> AsyncIterator[Appender]:
        """Open it where the client thinks that it ends, after at most `wait` seconds.

        Raises UploadRangeInvalid for a wrong `at` or while another request holds it, and BlobUploadUnknown.
        """
        with self._errors():
            async with self._appender(wait) as appender:
                require_place(at, appender.offset)
                yield appender

    @contextmanager
    def hold(self) -> Iterator[LockedFile]:
        """Open it without waiting; raises NotAtOnce, and BlobUploadUnknown if it is taken away meanwhile. Blocks."""
        with self._errors(), ExitStack() as stack:
            try:
                held = stack.enter_context(self._driver.held(self.path))
            except (PathBusy, PathNotFound) as error:
                raise NotAtOnce from error
            yield held

    async def _require_foreign(self) -> None:
        """Raise BlobUploadUnknown unless it is an upload that has no data file yet, as the CNCF registry leaves them.

        One whose data was just moved to their place, by another request that commits it, looks the same for a moment.
        """
        for _ in range(_LOOKS):
            await in_thread(self.offset)
            await asyncio.sleep(_PAUSE)
        await in_thread(self.offset)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except PathNotFound as error:
            raise BlobUploadUnknown({"upload": self._id}) from error
        except PathBusy as error:
            raise UploadRangeInvalid("another request is writing to this upload") from error

    @asynccontextmanager
    async def _appender(self, wait: float) -> AsyncIterator[Appender]:
        async with AsyncExitStack() as stack:
            try:
                appender = await stack.enter_async_context(self._driver.appender(self.path, wait=wait))
            except PathNotFound:
                await self._require_foreign()
                creating = self._driver.appender(self.path, wait=wait, create=True)
                appender = await stack.enter_async_context(creating)
            yield appender
