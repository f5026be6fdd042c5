"""The image's entry point: the official image's rules for arguments, and a service that does not run as root.

In Python and not in a shell: Debian's drops every variable whose name it could not give one of its own, such as
REGISTRY_HTTP_HEADERS_Access-Control-Allow-Origin. What is run gets the environment byte for byte.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import NoReturn

from pyregistry.cli.config_file import load_or_fail
from pyregistry.cli.failure import CommandFailed
from pyregistry.cli.files import needed_files
from pyregistry.cli.output import say

_DEFAULT = "/var/lib/registry"
_SERVICE = "registry:registry"
_OWN = ("docker", ".pyregistry")
"""All that is the registry's: the config may name a directory that holds other things as well."""
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
"""The status with which a shell ends."""


def main() -> None:
    """Run the command that the arguments name in place of this process."""
    words = _command(sys.argv[1:])
    # The server alone drops its rights; what somebody runs by hand keeps the rights of that person.
    if os.geteuid() == 0 and words[:2] == ["registry", "serve"]:
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
    return ["pyregistry", *words] if first == "htpasswd" else words


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
    try:
        with redirect_stderr(StringIO()):  # the server gives the warnings
            path, loaded = load_or_fail(_named_config(arguments))
    except CommandFailed:  # the server says why
        return []
    storage = loaded.storage.filesystem
    data = storage.root_directory if storage is not None else ""
    if data:
        subprocess.run(["mkdir", "-p", "--", data], check=False, stderr=subprocess.DEVNULL)  # noqa: S603, S607 - the image's
    root = Path(data or _DEFAULT)
    if not root.is_dir():
        return []
    _give_to_service(root)
    return _words_to_become_owner_of(root, needed_files(path, loaded))


def _named_config(arguments: Sequence[str]) -> Path | None:
    """Return the config file of `serve CONFIG`, `serve -c CONFIG` or `serve --config=CONFIG`; None if none is named."""
    words = [word.removeprefix("--config=") for word in arguments if word not in {"-c", "--config"}]
    return Path(words[0]) if words else None


def _give_to_service(root: Path) -> None:
    """Give away what is root's.

    A fresh volume is root's, and so is one of the CNCF image, which runs as root and can go on there afterwards. Who
    serves the volume may swap a directory for a link at any moment. So nothing is named by a path that has one in it:
    `chown -R -P` and `find -execdir` hold each directory open, and act in it.
    """
    status = root.stat()
    if status.st_uid == 0:
        for path in (root / name for name in _OWN):
            if os.path.lexists(path) and not _succeeds(["chown", "-R", "-h", "-P", "--", _SERVICE, str(path)]):
                _say(f"cannot give away all of {path}")
        if not _succeeds(["chown", "--", _SERVICE, str(root)]):
            _say(f"cannot give {root} to the user registry")
        return
    # What that image, or somebody's shell, wrote there since; beside the server, since it may take a while.
    starts = [f"{root.absolute()}/{name}" for name in _OWN]
    owner = f"{status.st_uid}:{status.st_gid}"
    words = ["find", *starts, "-uid", "0", "-execdir", "chown", "-h", "--", owner, "{}", "+"]
    subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - our own words


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
    for file in files:
        if Path(file).exists() and not _succeeds([*drop, "test", "-r", file]):
            _say(f"user {status.st_uid} cannot read {file}; the server runs as root")
            return []
    return drop


def _succeeds(words: Sequence[str]) -> bool:
    return subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode == 0  # noqa: S603 - our own words


def _say(line: str) -> None:
    say(f"entrypoint: {line}", err=True)
