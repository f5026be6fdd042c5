"""An input of the fuzzer, taken apart: what comes first chooses how the rest is used."""


class Input:
    """Bytes that are taken from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def byte(self) -> int:
        """The next byte, 0 behind the end."""
        value = self._data[:1]
        self._data = self._data[1:]
        return value[0] if value else 0

    def line(self) -> bytes:
        """The bytes up to the next newline."""
        line, _, self._data = self._data.partition(b"\n")
        return line

    def text(self) -> str:
        """The same as text; bytes that are not UTF-8 become halves of surrogate pairs, as aiohttp makes them."""
        return self.line().decode(errors="surrogateescape")

    def rest(self) -> bytes:
        """All that is left."""
        rest, self._data = self._data, b""
        return rest

    def rest_of_text(self) -> str:
        """The same as text."""
        return self.rest().decode(errors="surrogateescape")


def pieces(data: bytes, size: int) -> list[bytes]:
    """The data as it may arrive: `size` bytes at a time; 0 is all at once."""
    step = size or max(len(data), 1)
    return [data[begin : begin + step] for begin in range(0, len(data), step)]
