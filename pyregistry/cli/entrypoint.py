"""The image's entry point: it follows the official image's rules for arguments, and runs the service without root.

In Python, as Debian's shell drops variables whose names are invalid in it, such as
REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin. Here the program gets the environment byte for byte.

A server never needs root's rights. A separate process opens files for it that only root can read
(pyregistry/common/opener.py, docs/decisions/0002).
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from pwd import getpwnam
from types import FrameType
from typing import NoReturn

from pyregistry.cli.config_file import load_or_fail, needed_files
from pyregistry.cli.failure import CommandFailed
from pyregistry.cli.output import say
from pyregistry.common import opener

_DEFAULT = "/var/lib/registry"
_USER = "registry"
_SERVICE = f"{_USER}:registry"
_OWN = ("docker", ".pyregistry")
"""The registry's own directories: the configured one may contain other things as well."""
_NOT_FOUND, _NOT_EXECUTABLE, _SIGNALLED = 127, 126, 128
"""Exit statuses of a shell; the signal's number is added to the last one."""
_COMMANDS = frozenset(
    {"access", "check-config", "du", "fsck", "gc", "healthcheck", "htpasswd", "ls", "rm", "without-gc"}
)
"""Commands of `pyregistry` that work without its name. /bin/ls and /bin/rm are the system's."""


def main() -> None:
    """Replace this process by the command of the arguments."""
    words = _command(sys.argv[1:])
    # Only the server drops its rights; a command run by hand keeps the rights of its user.
    if os.geteuid() == 0 and words[:2] == ["registry", "serve"]:
        _handle_signals()
        words = [*_prepare(words[2:]), *words]
    if words:
        _run(words)


def _command(words: list[str]) -> list[str]:
    """Return the words with the omitted program."""
    first = words[0] if words else ""
    if first.endswith((".yml", ".yaml")):
        return ["registry", "serve", *words]
    if first in {"serve", "garbage-collect", "help"} or first.startswith("-"):
        return ["registry", *words]
    return ["pyregistry", *words] if first in _COMMANDS else words


def _handle_signals() -> None:
    """Let SIGTERM and SIGINT end this process, also as process 1; SIGHUP is for the server, which has yet to start."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the server inherits this until it handles signals


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(_SIGNALLED + number)


def _run(words: list[str]) -> NoReturn:
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these; a program expects the defaults
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(words[0], words)  # noqa: S606 - our own command, or the container user's
    except FileNotFoundError:
        _say(f"{words[0]}: not found")
        sys.exit(_NOT_FOUND)
    except OSError as error:
        _say(f"{words[0]}: {error.strerror}")
        sys.exit(_NOT_EXECUTABLE)


def _prepare(arguments: list[str]) -> list[str]:
    """Give the volume to the service; return the command prefix that switches to its owner, empty to stay root."""
    if not {"-h", "--help"}.isdisjoint(arguments):
        return []
    try:
        with redirect_stderr(StringIO()):  # the server prints the warnings
            path, loaded = load_or_fail(_config_in(arguments))
    except CommandFailed:  # the server prints the reason
        return []
    storage = loaded.storage.filesystem
    data = storage.root_directory if storage is not None else ""
    if data:
        subprocess.run(["mkdir", "-p", "--", data], check=False, stderr=subprocess.DEVNULL)  # noqa: S603, S607 - the image's
    root = Path(data or _DEFAULT)
    if not root.is_dir():
        return []
    _require_no_strange_link(root)
    if not _succeeds(["setpriv", "--reuid=1", "--regid=1", "--clear-groups", "--", "true"]):
        _say(f"this container may not change its user: the server is root, without its rights{_advice(root)}")
        return []
    _give_to_service(root)
    return _words_to_become_owner_of(root, needed_files(path, loaded))


def _config_in(arguments: list[str]) -> Path | None:
    """Return the config file in the arguments of `serve`."""
    option = "--config="
    named = [word.removeprefix(option) for word in arguments if word.startswith(option) or not word.startswith("-")]
    return Path(named[0]) if named else None


def _require_no_strange_link(root: Path) -> None:
    """Exit if another user's link leads to a directory of root: the service would become its owner."""
    try:
        handle, owners = opener.look_up(str(root.absolute()))
        os.close(handle)
    except OSError:  # such as a lost working directory: the server reports it
        return
    if root.stat().st_uid == 0 and not owners <= {0}:
        _say(
            f"{root} leads through a symbolic link of another user to {root.resolve()}, a directory of root, which is "
            "not given to the service: name it in storage.filesystem.rootdirectory, or make the link as root"
        )
        sys.exit(1)


def _give_to_service(root: Path) -> None:
    """Give root's files to the service.

    A fresh volume belongs to root. So does one of the CNCF image, which runs as root and can still use it afterwards.
    The service may replace a directory by a link at any moment. So paths must not be resolved through directories of
    the service: `chown -R -P` and `find -execdir` hold each directory open, and act in it.
    """
    status = root.stat()
    if status.st_uid == 0 or _is_fresh(status):
        _give_all(root, [path for path in (root / name for name in _OWN) if os.path.lexists(path)])
        return
    # Files that the CNCF image or root's shell wrote since; in parallel to the server, as it may take a while.
    starts = [f"{root.absolute()}/{name}" for name in _OWN]
    owner = f"{status.st_uid}:{status.st_gid}"
    words = ["find", *starts, "-uid", "0", "-execdir", "chown", "-h", "--", owner, "{}", "+"]
    subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - our own words


def _is_fresh(status: os.stat_result) -> bool:
    """Return True for a volume with owner and group of the image's directory."""
    try:
        return (status.st_uid, status.st_gid) == (getpwnam(_USER).pw_uid, 0)
    except KeyError:  # an image with other users
        return False


def _advice(root: Path) -> str:
    """Return the options of `docker run` that make the volume's owner serve it; empty if root may write to it."""
    status = root.stat()
    if os.access(root, os.W_OK):
        return ""
    owner = f"{status.st_uid}:{status.st_gid}"
    return f"; {root} belongs to user {owner}: add --user {owner}, or --cap-add SETUID --cap-add SETGID"


def _give_all(root: Path, content: Sequence[Path]) -> None:
    """Give `root` to the service after its content, so that an interrupted start repeats this, and report it."""
    if content:
        _say(f"giving {root} to the user registry, which takes a while on a large volume")
    given = 0
    for path in content:
        count, complete = _count_lines(["chown", "-c", "-R", "-h", "-P", "--", _SERVICE, str(path)])
        given += count
        if not complete:
            _say(f"cannot give away all of {path}")
    count, complete = _count_lines(["chown", "-c", "--", _SERVICE, str(root)])
    if complete:
        user = root.stat().st_uid
        _say(f"gave {root} to the user registry ({user}), files and directories: {given + count}")
    else:
        _say(f"cannot give {root} to the user registry")


def _words_to_become_owner_of(root: Path, files: Sequence[str]) -> list[str]:
    """Return the command prefix that switches to the volume's owner; empty, with a message, if that fails."""
    status = root.stat()
    become = ["setpriv", f"--reuid={status.st_uid}", f"--regid={status.st_gid}", "--clear-groups"]
    # With the capability for ports below 1024, which port 443 needs with --network host.
    ports = [*become, "--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service", "--"]
    drop = ports if _succeeds([*ports, "true"]) else [*become, "--"]
    if not _succeeds([*drop, "true"]):
        _say(f"cannot become user {status.st_uid}; the server keeps the rights it has")
        return []
    closed = [file for file in files if Path(file).exists() and not _succeeds([*drop, "test", "-r", file])]
    for file in closed:
        _say(f"user {status.st_uid} cannot read {file}: a root process opens it for the server")
    if closed:
        _start_opener(root, files)
    return drop


def _start_opener(root: Path, files: Sequence[str]) -> None:
    """Start the process that opens `files` for the server, which inherits the other end of a socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # It keeps only root's right to read files of other users.
    limit = ["setpriv", "--bounding-set=-all,+dac_override,+dac_read_search", "--inh-caps=-all", "--no-new-privs", "--"]
    words = [sys.executable, "-I", "-S", opener.__file__, str(theirs.fileno())]
    paths = [str(Path(path).absolute()) for path in (str(root), *files)]
    subprocess.Popen(  # noqa: S603 - our own words
        [*(limit if _succeeds([*limit, "true"]) else []), *words, *paths],
        stdin=subprocess.DEVNULL,
        env={"PATH": os.environ.get("PATH", os.defpath)},  # without the server's secrets
        pass_fds=[theirs.fileno()],
        start_new_session=True,  # Ctrl-C is for the server
    )
    theirs.close()
    os.set_inheritable(ours.fileno(), True)
    os.environ[opener.OPENER_VARIABLE] = str(ours.detach())


def _count_lines(words: Sequence[str]) -> tuple[int, bool]:
    """Return the number of lines that a command printed, and True if it succeeded."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:  # noqa: S603 - our own words
        assert process.stdout is not None
        try:
            lines = sum(1 for _ in process.stdout)
        except BaseException:  # a signal: the next start does the rest
            process.kill()
            raise
    return lines, process.returncode == 0


def _succeeds(words: Sequence[str]) -> bool:
    return subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode == 0  # noqa: S603 - our own words


def _say(line: str) -> None:
    say(f"entrypoint: {line}", err=True)
