"""The data directory of a config, for commands that work on it beside a running server."""

import concurrent.futures.thread  # noqa: F401 - imported when first used, which may be too late: see become_owner_of
import os
import stat
from pathlib import Path

from pyregistry.cli.config_file import fail
from pyregistry.cli.failures import advice
from pyregistry.cli.output import say
from pyregistry.common.system_errors import in_words
from pyregistry.config.schema import Config
from pyregistry.service.location import location_of
from pyregistry.storage.backend import Backend, Location
from pyregistry.storage.seams import layout


def open_storage(config: Config) -> Backend:
    """The storage that a server with this config has; exits with 2 if there is none.

    Root becomes the owner of the content first, so that it never leaves files there that the server cannot open.
    """
    location = location_or_fail(config)
    root = location.directory
    try:
        if root is not None:
            become_owner_of(root)
        return location.open()
    except OSError as error:
        fail(f"cannot use the data directory: {'' if error.filename else f'{root}: '}{in_words(error)}{advice(error)}")


def location_or_fail(config: Config) -> Location:
    """Return where the data is; exits with 2 where only the server can see it."""
    location = location_of(config)
    if not location.is_shared:
        fail(f"storage: the data of an {location.name} registry cannot be seen from outside")
    return location


def tell_nothing(backend: Backend) -> None:
    """Say where nothing is, on standard error, if nobody named the config: it may be another registry's."""
    say(f"no repositories in {backend.title}", err=True)


def become_owner_of(root: Path) -> None:
    """Give up root's rights where the content is somebody else's; raises OSError.

    Its owner decides, not that of `root`, which on a volume of Kubernetes is root's. The group and its rights are taken
    over as well: where the group may write, it may write what a command makes, whatever the umask of root's shell is.
    From then on nothing can be imported where Python itself can be read by root only.
    """
    owner = content_of(root).stat()
    if os.geteuid() != 0:
        return
    os.umask(os.umask(0) & ~stat.S_IRWXG | ~owner.st_mode & stat.S_IRWXG)
    if (owner.st_uid, owner.st_gid) != (0, os.getegid()):
        try:
            os.setgroups([])
        except PermissionError:  # root without capabilities, as the server beside it: docker's --cap-drop ALL
            return
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def content_of(root: Path) -> Path:
    """Return the directory whose owner is the server's user."""
    tree = root / layout.TREE
    return tree if tree.is_dir() else root
