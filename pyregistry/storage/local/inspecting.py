"""Directories as they are, with entries that the registry itself ignores: for `fsck`."""

import os
import stat as modes
from pathlib import Path

from pyregistry.storage.local.syscalls import absent_is_not_found, stat_of
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.layout import StoragePath
from pyregistry.storage.seams.objects import Entry, PathNotFound


def list_directory(root: str, path: StoragePath) -> list[Entry]:
    """Return the entries of a directory of this machine."""
    top = _owner(root)
    entries = []
    try:
        with absent_is_not_found(), os.scandir(f"{root}/{path}") as found:
            for each in found:
                try:
                    result = each.stat(follow_symlinks=False)
                    stat = stat_of(each.path)
                except FileNotFoundError:  # removed meanwhile
                    continue
                is_directory = modes.S_ISDIR(result.st_mode)
                entries.append(Entry(each.name, stat, is_directory, _obstacle(result, top)))
    except PathNotFound:
        return []
    return sorted(entries, key=lambda entry: entry.name)


def _owner(root: str) -> os.stat_result:
    """Return the stat of the tree, or of the root: on a Kubernetes volume the data directory belongs to root."""
    try:
        return Path(root, layout.TREE).stat()
    except FileNotFoundError:
        return os.lstat(root)


def _obstacle(result: os.stat_result, top: os.stat_result) -> str | None:
    """Return the obstacle for a server that runs as the owner and the group of the data directory."""
    if top.st_uid == 0 or modes.S_ISLNK(result.st_mode):
        return None
    is_directory = modes.S_ISDIR(result.st_mode)
    if result.st_uid == top.st_uid:
        needed = 0o700 if is_directory else 0o600
        reason = f"has the mode {modes.S_IMODE(result.st_mode):04o}, its owner needs {needed:04o}"
    else:  # a file of another user is only read, and a link is replaced by a new one
        needed = (0o7 if is_directory else 0o4) << (3 if result.st_gid == top.st_gid else 0)
        reason = f"belongs to the user {result.st_uid}, the data directory to {top.st_uid}"
    return None if result.st_mode & needed == needed else reason
