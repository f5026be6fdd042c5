"""The directory of an upload with all that belongs to it: how old it is, and how it ends."""

from contextlib import suppress

from pyregistry.oci.errors import BlobUploadUnknown
from pyregistry.oci.names import RepositoryName, UploadId
from pyregistry.storage import layout
from pyregistry.storage.driver import Driver, NotDurable, PathNotFound
from pyregistry.storage.hashing import Record, RunningHashes, read_record, write_lost_record
from pyregistry.storage.links import exists


class UploadDirectory:
    """One open upload on the disk. Blocking."""

    def __init__(self, driver: Driver, hashes: RunningHashes, name: RepositoryName, upload_id: UploadId) -> None:
        self._driver = driver
        self._hashes = hashes
        self._id = upload_id
        self._path = layout.upload(name, upload_id)
        self._data = layout.upload_data(name, upload_id)
        self._started_at = layout.upload_started_at(name, upload_id)

    def changed_ns(self) -> int | None:
        """Return the time of the last byte, in nanoseconds since the epoch; None if there is no such upload."""
        # Of one that was cut off at its beginning or its end, the directory may be all that is there.
        times = self._times(self._data, self._started_at) or self._times(self._path)
        return max(times, default=None)

    def record(self) -> Record | None:
        """Return what is noted of it, None for nothing; raise BlobUploadUnknown if bytes of it may be lost."""
        record = read_record(self._driver, self._id)
        if (record is not None and record.lost) or self._hashes.is_given_up(self._id):
            raise BlobUploadUnknown({"upload": self._id})
        return record

    def size(self) -> int:
        """Return the bytes that it holds; 0 if there is no such upload."""
        with suppress(PathNotFound):
            return self._driver.stat(self._data).size
        return 0

    def room(self) -> int:
        """Return the bytes that it may still take."""
        return self._driver.room(self._path)

    def remove(self) -> None:
        """End the upload with all that it holds; raise BlobUploadUnknown if there is none."""
        self._forget()
        try:
            self._driver.delete(self._path, durable=False)
        except PathNotFound as error:
            raise BlobUploadUnknown({"upload": self._id}) from error

    def remove_rest(self) -> None:
        """End an upload whose data has become a blob; raise BlobUploadUnknown if somebody else removed it."""
        # What is left is known: two calls, where `remove` needs ten.
        self._forget()
        with suppress(PathNotFound):
            self._driver.delete(self._started_at, durable=False)
        if not self._driver.prune(self._path):  # with the CNCF registry's hash states, or with a copied file
            self.remove()

    def remove_after(self, error: OSError) -> None:
        """End an upload whose commit failed after its data was moved, or was moved and came back.

        Any other error leaves it open: the same request may come again.
        """
        if isinstance(error, NotDurable) or not exists(self._driver, self._data):
            with suppress(OSError, BlobUploadUnknown):
                self.remove()

    def give_up(self, algorithm: str, owner: str) -> None:
        """End an upload of which bytes may be lost, so that no process and no later start takes it for whole.

        The kernel reports lost bytes once. The next sync of the file succeeds, and reading it shows what only memory
        holds. Where the upload cannot be removed, a note says that it is lost. Without that note this process
        remembers; a file system that takes neither must be mounted again, which drops what only memory holds.
        """
        try:
            self.remove()
        except BlobUploadUnknown:
            return
        except OSError:
            self._hashes.give_up(self._id)
            with suppress(OSError):
                write_lost_record(self._driver, self._id, algorithm, owner)

    def _forget(self) -> None:
        self._hashes.drop(self._id)
        # Not durably: what a power cut brings back is an upload that nobody goes on with.
        with suppress(PathNotFound):
            self._driver.delete(layout.upload_record(self._id), durable=False)

    def _times(self, *paths: layout.StoragePath) -> list[int]:
        times = []
        for path in paths:
            with suppress(PathNotFound):
                times.append(self._driver.stat(path).mtime_ns)
        return times
