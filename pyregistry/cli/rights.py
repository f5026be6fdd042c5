"""As whom a command works on the data directory."""

import os
from pathlib import Path

from pyregistry.config.schema import Config


def act_as_owner(config: Config) -> None:
    """Where root runs a command beside a server that is not root's, go on as the owner of the data directory.

    `docker exec` and most cron jobs are root's, and the files that root would make, locks among them, could not be
    opened by the server. It cannot be undone in this process.
    """
    if os.geteuid() != 0 or config.storage.filesystem is None:
        return
    try:
        owner = Path(config.storage.filesystem.root_directory).stat()
    except OSError:
        return  # whoever opens the directory says so
    if owner.st_uid != 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
