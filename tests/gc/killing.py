"""`python -m tests.gc.killing TREE WORK before|after`: collectors that die by SIGKILL, each at another storage call.

Number n runs on WORK/n, a copy of TREE, and dies at its n-th call; the last one has no such call and ends by itself.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from pyregistry.gc import batches
from pyregistry.gc.types import Options
from pyregistry.storage.local.filesystem import FilesystemDriver
from tests.gc.collecting import collect

_READS = frozenset({"read", "stat", "children", "symbolic_links", "scan"})
_CHANGES = frozenset(
    {"write", "set_mtime", "make_directory", "delete", "discard", "sync", "empty_trash", "prune", "lock"}
)


class DyingDriver(FilesystemDriver):
    """Dies before or after one of its calls."""

    def __init__(self, root: Path, dies_at: int, *, after: bool) -> None:
        super().__init__(root)
        self.left = dies_at
        self.after = after

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return self.counted(found) if name in _READS | _CHANGES else found

    def counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, and death."""

        def dying(*arguments: object, **options: object) -> object:
            self.left -= 1
            last = self.left == 0
            if last and not self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return call(*arguments, **options)
            finally:  # also of a call that found nothing there
                if last:
                    os.kill(os.getpid(), signal.SIGKILL)

        return dying


def dies(root: Path, number: int, *, after: bool) -> bool:
    """Run a collector in a process of its own; whether it died. A fork, which is quicker than an interpreter each."""
    child = os.fork()
    if child == 0:
        collect(DyingDriver(root, number, after=after), Options(delete_untagged=True))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    if status != 0:
        sys.exit(f"the collector ended with status {status}")
    return False


def main() -> None:
    """Run the collector on copies of a tree, killed at each step in turn, until it ends by itself."""
    tree, work = Path(sys.argv[1]), Path(sys.argv[2])
    batches.BATCH = 2
    for number in count(1):
        root = work / str(number)
        shutil.copytree(tree, root)  # with the times of the files, some of which are leases
        if not dies(root, number, after=sys.argv[3] == "after"):
            return


if __name__ == "__main__":
    main()
