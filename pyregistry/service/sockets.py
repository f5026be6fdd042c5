"""The addresses to listen on, in Go's notation."""

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
    """A listening socket: `host:port`, `:port` for all addresses of both families, a path where `net` is "unix".

    `key` is where the address stands in the config, for the ConfigError that this raises.
    """
    try:
        return _listen_unix(Path(addr)) if net == "unix" else _listen_tcp(key, addr)
    except OSError as error:
        raise ConfigError(f"{key}: cannot listen on {addr}: {_reason(error)}") from error
    except UnicodeError as error:  # a host such as `a..b`
        raise ConfigError(f"{key}: {addr!r}, expected HOST:PORT or :PORT") from error


def check_address(key: str, addr: str) -> None:
    """Raise ConfigError for what is no `host:port` at all, whether or not one could listen there."""
    host, _ = _split(key, addr)
    try:
        host.encode("idna")
    except UnicodeError as error:  # a host such as `a..b`
        raise ConfigError(f"{key}: {addr!r}, expected HOST:PORT or :PORT") from error


def _reason(error: OSError) -> str:
    """Return the system's sentence, without the address that Python adds, and for a used port what to do."""
    if error.errno == errno.EADDRINUSE:
        return f"{os.strerror(errno.EADDRINUSE)}: stop the program that listens there, or name another port"
    known = error.errno in errno.errorcode  # not one of getaddrinfo, whose numbers are others
    return os.strerror(error.errno or 0) if known else error.strerror or str(error)


def address_of(listening: socket.socket) -> str:
    """What to show to the operator."""
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
    if host in {"", "::"} and socket.has_dualstack_ipv6():  # to Go, the second means both families as well
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
            path.unlink()  # of a server that was killed; a file of another kind stays, and is the error
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(str(path))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening
