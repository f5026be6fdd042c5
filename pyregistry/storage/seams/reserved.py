"""Names of directories that a file system, or the machine that serves it, puts into ours."""

LOST_AND_FOUND = "lost+found"
_NAMES = frozenset({LOST_AND_FOUND, "System Volume Information"})
_OF_FILE_SYSTEMS = _NAMES | {
    *(".snapshot", ".snapshots", ".snap", ".zfs", ".glusterfs", ".trashcan", "~snapshot", "#snapshot"),
    *("@eaDir", "#recycle", "@Recycle", "@Recently-Snapshot", "$RECYCLE.BIN", ".recycle"),
    *(".Trash", ".Trashes", ".fseventsd", ".Spotlight-V100"),
}


def is_reserved(name: str) -> bool:
    """Return True for `lost+found`, `.snapshot`, `@eaDir`, `$RECYCLE.BIN` and the like; never for one of ours.

    No component of a repository's name contains or begins so, and often only root may list them. A directory such as
    `Backup`, which is no component either, is not reserved: it may be a repository that an operator put aside.
    """
    return name in _NAMES or not (name[:1].isalnum() or name.startswith("_"))


def is_of_file_system(name: str) -> bool:
    """Return True for a reserved name that is known: what is in there may look like a repository, and is a copy.

    Others, such as `.app.old`, may be repositories that an operator put aside.
    """
    return name in _OF_FILE_SYSTEMS or name.startswith(".Trash-")
