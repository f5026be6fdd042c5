"""The data directory of a config, for commands that use it while a server runs."""

import concurrent.futures.thread  # noqa: F401 - imported when first used, which may be too late: see become_owner_of
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyregistry.cli.config_file import fail
from pyregistry.cli.output import say
from pyregistry.common.system_errors import in_words, user_name
from pyregistry.config.schema import Config
from pyregistry.oci.errors import Unavailable
from pyregistry.service.location import location_of
from pyregistry.storage.backend import Backend, Location
from pyregistry.storage.seams import layout


def open_storage(config: Config) -> Backend:
    """Open the storage of a server with this config; fail if it is missing.

    Root becomes the owner of the content first, so that it never creates files that the server cannot open.
    """
    location = location_or_fail(config)
    root = location.directory
    try:
        if root is not None:
            become_owner_of(root)
        return location.open()
    except OSError as error:
        fail(f"cannot use the data directory: {'' if error.filename else f'{root}: '}{in_words(error)}{_advice(error)}")


def location_or_fail(config: Config) -> Location:
    """Return the location of the data; fail if only the server can see it."""
    location = location_of(config)
    if not location.is_shared:
        fail(f"storage: the data of an {location.name} registry cannot be seen from outside")
    return location


def report_empty(backend: Backend) -> None:
    """Print the empty data directory on standard error: the default config may be another registry's."""
    say(f"no repositories in {backend.title}", err=True)


def become_owner_of(root: Path) -> None:
    """Give up root's rights if the content belongs to another user; raise OSError.

    The owner of the content decides: `root` itself belongs to root on a volume of Kubernetes. The group and its rights
    are adopted as well: if the group may write, new files are writable for it, despite the umask of root's shell. After
    this, imports fail if only root can read the Python installation.
    """
    owner = content_of(root).stat()
    if os.geteuid() != 0:
        return
    os.umask(os.umask(0) & ~stat.S_IRWXG | ~owner.st_mode & stat.S_IRWXG)
    if (owner.st_uid, owner.st_gid) != (0, os.getegid()):
        try:
            os.setgroups([])
        except PermissionError:  # root without capabilities, like the server: docker's --cap-drop ALL
            return
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def content_of(root: Path) -> Path:
    """Return the directory whose owner is the server's user."""
    tree = root / layout.TREE
    return tree if tree.is_dir() else root


@contextmanager
def unusable_directory() -> Iterator[None]:
    """Fail with the name of a file that could not be read or written."""
    try:
        yield
    except BrokenPipeError:  # the reader of the output closed it
        raise
    except OSError as error:
        fail(f"cannot use the data directory: {in_words(error)}{_advice(error)}")
    except Unavailable as error:
        fail(f"cannot use the data directory: {error.detail}")


def _advice(error: OSError) -> str:
    """Return our user and advice to append to a permission error; empty for other errors."""
    if not isinstance(error, PermissionError):
        return ""
    return f" for user {user_name(os.geteuid())}; run the command as root, or as the user who owns the data directory"
