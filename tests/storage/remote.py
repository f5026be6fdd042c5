"""A driver whose bytes come as from another machine: in pieces, over a stream, or from a URL."""

from collections.abc import AsyncGenerator, Iterator
from typing import ClassVar

from pyregistry.storage.memory.driver import MemoryDriver
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Source
from pyregistry.storage.seams.sources import Remote

PIECE = 1000


class RemoteDriver(MemoryDriver):
    """A storage in memory that hands nothing of it out at once."""

    url: ClassVar[str | None] = None
    """Address from which a client may get the bytes."""
    breaks_off_after: ClassVar[int | None] = None
    """Bytes of a reading after which the connection to the storage breaks off."""
    requests: ClassVar[list[tuple[int, int]]] = []
    """The ranges that were asked for."""
    given_up: ClassVar[int] = 0
    """Streams that were closed."""

    def source(self, path: StoragePath) -> Source:
        content, content_id = self.read(path), self.stat(path).content_id

        def pieces(begin: int, end: int) -> Iterator[bytes]:
            self.requests.append((begin, end))
            for at in range(begin, end, PIECE):
                if self.breaks_off_after is not None and at - begin >= self.breaks_off_after:
                    raise ConnectionResetError("the bucket is gone")
                yield content[at : min(at + PIECE, end)]

        async def stream(begin: int, end: int) -> AsyncGenerator[bytes, None]:
            try:
                for piece in pieces(begin, end):
                    yield piece
            finally:
                type(self).given_up += 1

        return Remote(len(content), content_id, pieces, stream, redirect=lambda: self.url)


def forget(driver: type[RemoteDriver] = RemoteDriver) -> None:
    """Begin with a storage that works."""
    driver.url, driver.breaks_off_after, driver.given_up = None, None, 0
    driver.requests.clear()
