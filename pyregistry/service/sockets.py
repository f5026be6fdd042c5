"""Listening sockets, with addresses in Go's notation."""

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

from pyregistry.config.errors import ConfigError

BACKLOG = 2048
"""Connections that wait in the queue of a listening socket."""


def listen(key: str, addr: str, net: str = "") -> socket.socket:
    """Return a listening socket: `host:port`, `:port` for all IPv4 and IPv6 addresses, a path if `net` is "unix".

    `key` is the config's key of the address, for the ConfigError that this raises.
    """
    try:
        return _listen_unix(Path(addr)) if net == "unix" else _listen_tcp(key, addr)
    except OSError as error:
        raise ConfigError(f"{key}: cannot listen on {addr}: {_reason(error)}") from error
    except UnicodeError as error:  # a host such as `a..b`
        raise ConfigError(f"{key}: {addr!r}, expected HOST:PORT or :PORT") from error


def check_address(key: str, addr: str) -> None:
    """Raise ConfigError if this is not a `host:port`; it does not try to listen."""
    host, _ = _split(key, addr)
    try:
        host.encode("idna")
    except UnicodeError as error:  # a host such as `a..b`
        raise ConfigError(f"{key}: {addr!r}, expected HOST:PORT or :PORT") from error


def _reason(error: OSError) -> str:
    """Return the system's message without the address that Python adds, with advice for a used port."""
    if error.errno == errno.EADDRINUSE:
        return f"{os.strerror(errno.EADDRINUSE)}: stop the program that listens there, or name another port"
    known = error.errno in errno.errorcode  # getaddrinfo has other numbers
    return os.strerror(error.errno or 0) if known else error.strerror or str(error)


def address_of(listening: socket.socket) -> str:
    """Return the address for the log."""
    name = listening.getsockname()
    if isinstance(name, str):
        return name
    host, port, *_ = name
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split(key: str, addr: str) -> tuple[str, int]:
    host, colon, port = addr.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{key}: {addr!r}, expected HOST:PORT or :PORT")
    return host.strip("[]"), int(port)


def _listen_tcp(key: str, addr: str) -> socket.socket:
    host, port = _split(key, addr)
    if host in {"", "::"} and socket.has_dualstack_ipv6():  # to Go, `::` means IPv4 as well
        return _open(socket.AF_INET6, ("::", port), dualstack=True)
    family, *_, address = socket.getaddrinfo(
        host or "0.0.0.0",  # noqa: S104 - that is what `:5000` means
        port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )[0]
    return _open(family, (str(address[0]), port), dualstack=False)


def _open(family: int, address: tuple[str, int], *, dualstack: bool) -> socket.socket:
    listening = socket.create_server(address, family=family, backlog=BACKLOG, dualstack_ipv6=dualstack)
    listening.setblocking(False)
    return listening


def _listen_unix(path: Path) -> socket.socket:
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()  # left by a killed server; another kind of file stays and causes an error
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening
