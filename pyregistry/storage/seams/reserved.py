"""Names of directories that a file system, or its server, adds to ours."""

LOST_AND_FOUND = "lost+found"
_NAMES = frozenset({LOST_AND_FOUND, "System Volume Information"})
_OF_FILE_SYSTEMS = _NAMES | {
    *(".snapshot", ".snapshots", ".snap", ".zfs", ".glusterfs", ".trashcan", "~snapshot", "#snapshot"),
    *("@eaDir", "#recycle", "@Recycle", "@Recently-Snapshot", "$RECYCLE.BIN", ".recycle"),
    *(".Trash", ".Trashes", ".fseventsd", ".Spotlight-V100"),
}


def is_reserved(name: str) -> bool:
    """Return True for `lost+found`, `.snapshot`, `@eaDir`, `$RECYCLE.BIN` and the like; never for one of ours.

    No component of a repository's name looks so, and often only root may list them. A directory such as `Backup` is
    not a valid component either, but it is not reserved: it may be a repository that an operator put aside.
    """
    return name in _NAMES or not (name[:1].isalnum() or name.startswith("_"))


def is_of_file_system(name: str) -> bool:
    """Return True for a known reserved name: a repository in there is a copy.

    Others, such as `.app.old`, may be repositories that an operator put aside.
    """
    return name in _OF_FILE_SYSTEMS or name.startswith(".Trash-")
