"""Opens files that only root can read, for a server that is not root.

The image's entry point starts this file as a small process that keeps root's rights. At the start and at each reload
the server sends it a path and gets a descriptor. It opens only files that the config named at the start. Both ends of
the protocol are in this file. It imports only the standard library, as the process runs without site-packages.
"""

import errno
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OPENER_VARIABLE = "PYREGISTRY_OPENER"
"""Environment variable with the descriptor number of the server's end."""
ANSWER_SECONDS = 5.0
"""Seconds to wait for a descriptor: the file may lie on a network file system that hangs."""
_MAX_PATH_BYTES = 4096
_MAX_ANSWER_BYTES = 16
_MAX_LINKS = 40
"""As many as the kernel follows."""
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY


def open_file(path: Path | str, *, wait: bool = False) -> int:
    """Open a file for reading and return its descriptor, with root's rights if ours are not enough.

    Without `wait` it does not wait for the writer of a FIFO, which may never come. Blocks. Raises OSError.
    """
    try:
        return os.open(path, _FLAGS if wait else _FLAGS | os.O_NONBLOCK)
    except PermissionError:
        if OPENER_VARIABLE not in os.environ:
            raise
        return _ask(str(Path(path).absolute()))


def read_file(path: Path | str) -> bytes:
    """Return the content of a file or a FIFO; see `open_file`. Blocks. Raises OSError."""
    with os.fdopen(open_file(path, wait=True), "rb") as file:
        return file.read()


def stat_file(path: Path | str) -> os.stat_result:
    """Return the status of a file, also in a directory that only root may enter. Blocks. Raises OSError."""
    try:
        return Path(path).stat()
    except PermissionError:
        handle = open_file(path)
    try:
        return os.fstat(handle)
    finally:
        os.close(handle)


@contextmanager
def readable_path(path: str) -> Iterator[str]:
    """Yield a path for a library that takes no descriptor.

    It is `path`, or a copy in memory: /proc/self/fd/N of the file itself would check its rights again. Blocks. Raises
    OSError.
    """
    if os.access(path, os.R_OK, effective_ids=True) or OPENER_VARIABLE not in os.environ:
        yield path
        return
    content = read_file(path)
    copy = os.memfd_create("copy of a file", os.MFD_CLOEXEC)
    with os.fdopen(copy, "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{copy}"


def _ask(path: str) -> int:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine, socket.socket(fileno=os.dup(int(os.environ[OPENER_VARIABLE]))) as requests:
        mine.settimeout(ANSWER_SECONDS)
        requests.settimeout(ANSWER_SECONDS)
        try:
            with theirs:
                socket.send_fds(requests, [os.fsencode(path)], [theirs.fileno()])
            answer, handles, _, _ = socket.recv_fds(mine, _MAX_ANSWER_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
        except TimeoutError as error:
            raise OSError(errno.ETIMEDOUT, "root's process that opens files does not answer", path) from error
        except ConnectionError:
            answer, handles = b"", []
    if handles:
        return handles[0]
    if not answer:
        raise OSError(errno.EACCES, "root's process that opens files has ended: restart the container", path)
    raise OSError(int(answer), _reason(int(answer)), path)


def _reason(number: int) -> str:
    if number == errno.EPERM:
        return "root alone can read it, and it was not in the config at the start: restart the container"
    if number == errno.ELOOP:
        return (
            "too many symbolic links, or one of the service's user leads out of the volume: let root own that link and "
            "its directory"
        )
    return os.strerror(number)


def serve_files(requests: socket.socket, volume: str, paths: frozenset[str]) -> None:
    """Open `paths` for the processes at the other end of `requests`, until all of them ended."""
    service, volume = Path(volume).stat().st_uid, os.path.realpath(volume)
    while True:
        asked, handles, _, _ = socket.recv_fds(requests, _MAX_PATH_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
        if not handles and not asked:
            return
        for handle in handles:
            with suppress(OSError), socket.socket(fileno=handle) as answer:  # the server has given up waiting
                answer.setblocking(False)  # a full buffer must not stop the answers to other workers
                _answer(answer, os.fsdecode(asked), service, volume, paths)


def _answer(answer: socket.socket, path: str, service: int, volume: str, paths: frozenset[str]) -> None:
    try:
        handle = _open_for_server(path, service, volume, paths)
    except OSError as error:
        answer.send(str(error.errno).encode())
        return
    try:
        socket.send_fds(answer, [b"0"], [handle])
    finally:
        os.close(handle)


def _open_for_server(path: str, service: int, volume: str, paths: frozenset[str]) -> int:
    if path not in paths:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))
    found, owners = look_up(path)
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):  # to open a device may do something
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        # The service may replace a file by a link. No such link may lead out of the volume.
        name = Path(f"/proc/self/fd/{found}")
        if service in owners and not _is_below(str(name.readlink()), volume):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return os.open(name, _FLAGS | os.O_NONBLOCK)
    finally:
        os.close(found)


def look_up(path: str) -> tuple[int, frozenset[int]]:
    """Return an O_PATH descriptor of a file, and the users who could have made the links on its path.

    Each directory stays open while the next name is looked up, so no name can be replaced meanwhile. Raises OSError.
    """
    at, parts, links, owners = os.open("/", os.O_PATH | os.O_CLOEXEC), path.split("/")[::-1], 0, set[int]()
    try:
        while parts:
            part = parts.pop()
            if part in {"", "."}:
                continue
            below = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            status = os.fstat(below)
            if stat.S_ISLNK(status.st_mode):
                links += 1
                owners |= {status.st_uid, os.fstat(at).st_uid}
                target = os.readlink("", dir_fd=below)
                os.close(below)
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                parts += target.split("/")[::-1]
                if not target.startswith("/"):
                    continue
                below = os.open("/", os.O_PATH | os.O_CLOEXEC)
            os.close(at)
            at = below
    except BaseException:
        os.close(at)
        raise
    return at, frozenset(owners)


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(f"{directory.rstrip('/')}/")


def main() -> None:
    """Run as `python common/opener.py DESCRIPTOR VOLUME PATH...`."""
    number, volume, *paths = sys.argv[1:]
    with socket.socket(fileno=int(number)) as requests:
        serve_files(requests, volume, frozenset(paths))


if __name__ == "__main__":
    main()
