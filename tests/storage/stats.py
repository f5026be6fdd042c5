"""Stats of files as a driver on a directory gives them, without the files."""

from pyregistry.storage.seams.objects import Stat


def file_stat(size: int, mtime_ns: int, inode: int) -> Stat:
    """A file of that size in bytes, time and number."""
    return Stat(size, mtime_ns, (inode, mtime_ns), is_file=True, content_id=inode)
