"""A line to a server that counts the bytes coming back: what a download costs, whatever a log says about it."""

import contextlib
import socket
import socketserver
import threading
from types import TracebackType
from typing import Self

from tests.processes import Server

PIECE = 65_536


class Counted(socketserver.ThreadingTCPServer):
    """Another port of a server; `received` is what its clients got through it, with all headers."""

    def __init__(self, server: Server) -> None:
        super().__init__(("127.0.0.1", 0), Line)
        self.beyond = server.port
        self.received = 0
        self._lock = threading.Lock()
        self._accepting = threading.Thread(target=self.serve_forever)

    @property
    def host(self) -> str:
        """The host and port before the repository in an image's name."""
        return f"127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._accepting.join()
        self.server_close()  # waits for its lines, whose clients have ended

    def count(self, size: int) -> None:
        """Add what came back on one of the lines."""
        with self._lock:
            self.received += size


class Line(socketserver.BaseRequestHandler):
    """One connection of a client, and the one behind it."""

    server: Counted
    request: socket.socket

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.beyond)) as beyond:
            asking = threading.Thread(target=pump, args=(self.request, beyond))
            asking.start()
            pump(beyond, self.request, self.server)
            asking.join()


def pump(source: socket.socket, target: socket.socket, counted: Counted | None = None) -> None:
    """Pass on what comes until its end, then the end; either side may break off."""
    with contextlib.suppress(OSError):
        while piece := source.recv(PIECE):
            if counted is not None:
                counted.count(len(piece))
            target.sendall(piece)
    for end, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            end.shutdown(how)
