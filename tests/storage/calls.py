"""The system calls of a driver in a process of its own, by strace: in which order, and what if one fails."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.processes import SOURCE_TREE, missing, require

TRACED = "openat,mkdir,mkdirat,rename,renameat,renameat2,fsync,fdatasync,unlink,unlinkat,rmdir,write,ftruncate,truncate"
PROGRAM = """
import asyncio, subprocess, sys, time
from pathlib import Path
from pyregistry.oci.digest import Digest
from pyregistry.oci.names import RepositoryName, Tag
from pyregistry.storage.seams import layout
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.repositories.registry import Registry
from tests.storage.pushing import registry_on
from pyregistry.storage.seams.rules import Rules
from tests.builders import image
from tests.storage.paths import at
driver = FilesystemDriver(Path(sys.argv[1]))
repository = registry_on(driver, Rules(require_blobs=False)).repository(RepositoryName("a"))
"""
_LINE = re.compile(r"\d+\s+(?P<call>\w+)\((?P<arguments>.*)\)\s+= (?P<result>-?\d+)")
_PATH = re.compile(r'"(/[^"]*)"|\d<(/[^<>]*)>')


@dataclass(frozen=True)
class Call:
    """One system call that succeeded; paths are relative to the root, temporary names are all `*`."""

    name: str
    paths: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((self.name, *self.paths))


def trace(root: Path, code: str, log: Path) -> list[str]:
    """The calls below `root` that `code` makes, each as `name path ...`; a name without its `at`."""
    result = _run(root, code, ["-o", str(log), "-e", f"trace={TRACED}"])
    assert result.returncode == 0, result.stderr
    calls = [_parse(line, root) for line in log.read_text().splitlines()]
    return [str(call) for call in calls if call is not None]


def run_with_fault(root: Path, code: str, fault: str) -> subprocess.CompletedProcess[str]:
    """Run `code` while strace makes a call fail: `fsync:error=EIO:when=1`."""
    return _run(root, code, ["-o", os.devnull, "-e", f"inject={fault}"])


def _run(root: Path, code: str, options: list[str]) -> subprocess.CompletedProcess[str]:
    strace = require("strace", "strace")
    command = [strace, "-f", "-y", "-qq", "-s", "4096", *options, sys.executable, "-B", "-c", PROGRAM + code, str(root)]
    result = subprocess.run(command, cwd=SOURCE_TREE, capture_output=True, text=True, check=False)
    if "PTRACE" in result.stderr and "not permitted" in result.stderr:
        missing("strace may not trace here (ptrace is not permitted)")
    return result


def _parse(line: str, root: Path) -> Call | None:
    match = _LINE.match(line)
    if match is None or int(match["result"]) < 0:
        return None
    paths = [quoted or opened for quoted, opened in _PATH.findall(match["arguments"])]
    relative = tuple(_name(path, root) for path in paths if path == str(root) or path.startswith(f"{root}/"))
    name = match["call"].removesuffix("2").removesuffix("at")
    if not relative or (name == "open" and "O_CREAT" not in line):
        return None
    return Call("create" if name == "open" else name, relative)


def _name(path: str, root: Path) -> str:
    name = str(Path(path).relative_to(root))
    return re.sub(r"^(\.pyregistry/(tmp|trash)/).*", r"\1*", name)
