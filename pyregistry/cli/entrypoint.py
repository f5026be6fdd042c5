"""The image's entry point: the official image's rules for arguments, and a service that does not run as root.

In Python and not in a shell: Debian's drops every variable whose name it could not give one of its own, such as
REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin. What is run gets the environment byte for byte.

A server never needs root's rights. Files that only root can read are opened for it by a process that does nothing
else (pyregistry/common/opener.py, docs/decisions/0002).
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

from pyregistry.cli.config_file import load_or_fail
from pyregistry.cli.failure import CommandFailed
from pyregistry.cli.files import needed_files
from pyregistry.cli.output import say
from pyregistry.common import opener

_DEFAULT = "/var/lib/registry"
_USER = "registry"
_SERVICE = f"{_USER}:registry"
_OWN = ("docker", ".pyregistry")
"""All that is the registry's: the config may name a directory that holds other things as well."""
_NOT_FOUND, _NOT_EXECUTABLE, _SIGNALLED = 127, 126, 128
"""The statuses with which a shell ends; to the last one the number of the signal is added."""
_COMMANDS = frozenset(
    {"access", "check-config", "du", "fsck", "gc", "healthcheck", "htpasswd", "ls", "rm", "without-gc"}
)
"""Commands of `pyregistry` that need not be preceded by its name. /bin/ls and /bin/rm are the system's."""


def main() -> None:
    """Run the command that the arguments name in place of this process."""
    words = _command(sys.argv[1:])
    # The server alone drops its rights; a command that is run by hand keeps the rights of its user.
    if os.geteuid() == 0 and words[:2] == ["registry", "serve"]:
        _handle_signals()
        words = [*_prepare(words[2:]), *words]
    if words:
        _run(words)


def _command(words: list[str]) -> list[str]:
    """Return the words with the program that they leave out."""
    first = words[0] if words else ""
    if first.endswith((".yml", ".yaml")):
        return ["registry", "serve", *words]
    if first in {"serve", "garbage-collect", "help"} or first.startswith("-"):
        return ["registry", *words]
    return ["pyregistry", *words] if first in _COMMANDS else words


def _handle_signals() -> None:
    """End when told to, also as process 1, and leave SIGHUP to the server: it has yet to read the config."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which the server inherits, until it listens to signals


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(_SIGNALLED + number)


def _run(words: list[str]) -> NoReturn:
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python itself; a program expects them as they were
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(words[0], words)  # noqa: S606 - our own command, or that of who runs the container
    except FileNotFoundError:
        _say(f"{words[0]}: not found")
        sys.exit(_NOT_FOUND)
    except OSError as error:
        _say(f"{words[0]}: {error.strerror}")
        sys.exit(_NOT_EXECUTABLE)


def _prepare(arguments: list[str]) -> list[str]:
    """Give the volume to the service, and return the words that become the owner of the volume; none to stay root."""
    if not {"-h", "--help"}.isdisjoint(arguments):
        return []
    try:
        with redirect_stderr(StringIO()):  # the server gives the warnings
            path, loaded = load_or_fail(_config_in(arguments))
    except CommandFailed:  # the server says why
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
    """Return the config file that the arguments of `serve` name, with an option or without."""
    option = "--config="
    named = [word.removeprefix(option) for word in arguments if word.startswith(option) or not word.startswith("-")]
    return Path(named[0]) if named else None


def _require_no_strange_link(root: Path) -> None:
    """End where another user's link leads to a directory of root's: the service would become its owner."""
    try:
        handle, owners = opener.look_up(str(root.absolute()))
        os.close(handle)
    except OSError:  # such as a lost working directory: the server says what it cannot use
        return
    if root.stat().st_uid == 0 and not owners <= {0}:
        _say(
            f"{root} leads over a symbolic link of another user to {root.resolve()}, a directory of root's, which is "
            "not given to the service: name it in storage.filesystem.rootdirectory, or make the link as root"
        )
        sys.exit(1)


def _give_to_service(root: Path) -> None:
    """Give away what is root's.

    A fresh volume is root's, and so is one of the CNCF image, which runs as root and can go on there afterwards. Who
    serves the volume may swap a directory for a link at any moment. So nothing is named by a path that has one in it:
    `chown -R -P` and `find -execdir` hold each directory open, and act in it.
    """
    status = root.stat()
    if status.st_uid == 0 or _is_fresh(status):
        _give_all(root, [path for path in (root / name for name in _OWN) if os.path.lexists(path)])
        return
    # What that image, or somebody's shell, wrote there since; beside the server, since it may take a while.
    starts = [f"{root.absolute()}/{name}" for name in _OWN]
    owner = f"{status.st_uid}:{status.st_gid}"
    words = ["find", *starts, "-uid", "0", "-execdir", "chown", "-h", "--", owner, "{}", "+"]
    subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - our own words


def _is_fresh(status: os.stat_result) -> bool:
    """Return True for a volume with the owner and the group that the image's directory has."""
    try:
        return (status.st_uid, status.st_gid) == (getpwnam(_USER).pw_uid, 0)
    except KeyError:  # an image with other users
        return False


def _advice(root: Path) -> str:
    """Return what to add to `docker run` so that the owner of the volume serves it; nothing if root may write to it."""
    status = root.stat()
    if os.access(root, os.W_OK):
        return ""
    owner = f"{status.st_uid}:{status.st_gid}"
    return f"; {root} belongs to user {owner}: add --user {owner}, or --cap-add SETUID --cap-add SETGID"


def _give_all(root: Path, content: Sequence[Path]) -> None:
    """Give `root` away after its content, so that a start that was interrupted is repeated, and say so."""
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
    """Return a command's first words; none, and say why, where the owner could not serve."""
    status = root.stat()
    become = ["setpriv", f"--reuid={status.st_uid}", f"--regid={status.st_gid}", "--clear-groups"]
    # With the right to listen below 1024, which port 443 needs with --network host.
    ports = [*become, "--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service", "--"]
    drop = ports if _succeeds([*ports, "true"]) else [*become, "--"]
    if not _succeeds([*drop, "true"]):
        _say(f"cannot become user {status.st_uid}; the server keeps the rights it has")
        return []
    closed = [file for file in files if Path(file).exists() and not _succeeds([*drop, "test", "-r", file])]
    for file in closed:
        _say(f"user {status.st_uid} cannot read {file}: a process of root's opens it for the server")
    if closed:
        _start_opener(root, files)
    return drop


def _start_opener(root: Path, files: Sequence[str]) -> None:
    """Start the process that opens `files` for the server, which inherits the other end of a socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Of root's rights it keeps those to read what others own.
    limit = ["setpriv", "--bounding-set=-all,+dac_override,+dac_read_search", "--inh-caps=-all", "--no-new-privs", "--"]
    words = [sys.executable, "-I", "-S", opener.__file__, str(theirs.fileno())]
    paths = [str(Path(path).absolute()) for path in (str(root), *files)]
    subprocess.Popen(  # noqa: S603 - our own words
        [*(limit if _succeeds([*limit, "true"]) else []), *words, *paths],
        stdin=subprocess.DEVNULL,
        env={"PATH": os.environ.get("PATH", os.defpath)},  # of the server's secrets it needs none
        pass_fds=[theirs.fileno()],
        start_new_session=True,  # Ctrl-C is for the server
    )
    theirs.close()
    os.set_inheritable(ours.fileno(), True)
    os.environ[opener.OPENER_VARIABLE] = str(ours.detach())


def _count_lines(words: Sequence[str]) -> tuple[int, bool]:
    """Return the lines that a command printed, and True if it succeeded."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:  # noqa: S603 - our own words
        assert process.stdout is not None
        try:
            lines = sum(1 for _ in process.stdout)
        except BaseException:  # a signal: what is left is done at the next start
            process.kill()
            raise
    return lines, process.returncode == 0


def _succeeds(words: Sequence[str]) -> bool:
    return subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode == 0  # noqa: S603 - our own words


def _say(line: str) -> None:
    say(f"entrypoint: {line}", err=True)
