"""Builds the source package and the wheel, byte for byte the same from the same commit.

setuptools keeps the modes, owners and times of the files that it packs, and the time of packing. So the files that git
knows are copied with fixed modes, and the source package is packed again. The wheel is built from the source package.
"""

import gzip
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

EPOCH = "SOURCE_DATE_EPOCH"
"""The variable with the seconds since 1970 that stand in the packages (https://reproducible-builds.org/specs)."""


class NotBuilt(Exception):
    """The packages cannot be built; the message says why."""


def build_packages(source: Path, target: Path) -> list[Path]:
    """Build both into `target`, which is made, and return their paths. Raises NotBuilt.

    The time in them is that of `SOURCE_DATE_EPOCH`, else of the last commit.
    """
    target.mkdir(parents=True, exist_ok=True)
    epoch = int(os.environ.get(EPOCH) or git(source, "log", "-1", "--format=%ct"))
    with tempfile.TemporaryDirectory(prefix="pyregistry-dist-") as directory:
        tree = Path(directory) / "tree"
        _copy_tracked(source, tree)
        [packed] = _build(tree, "--sdist", Path(directory) / "sdist", epoch)
        sdist = target / packed.name
        _repack(packed, sdist, epoch)
        with tarfile.open(sdist) as archive:
            archive.extractall(Path(directory) / "from-sdist", filter="data")
        [unpacked] = (Path(directory) / "from-sdist").iterdir()
        [built] = _build(unpacked, "--wheel", Path(directory) / "wheel", epoch)
        wheel = Path(shutil.copyfile(built, target / built.name))
    return [sdist, wheel]


def git(source: Path, *arguments: str) -> str:
    """Return git's output. Raises NotBuilt.

    git refuses a clone of another user, which that of a CI often is, unless an option names it.
    """
    command: list[str | Path] = ["git", "-c", f"safe.directory={source}", "-C", source, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotBuilt(f"git {' '.join(arguments)} failed in {source}: {done.stderr.strip()}; build from a git clone")
    return done.stdout


def _copy_tracked(source: Path, tree: Path) -> None:
    """Copy the files that git knows, with the modes that git knows; what lies about stays out of the packages."""
    for name in filter(None, git(source, "ls-files", "-z").split("\0")):
        original, copy = source / name, tree / name
        if not original.is_file():  # removed, and not yet committed
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(original, copy)
        copy.chmod(0o755 if original.stat().st_mode & stat.S_IXUSR else 0o644)


def _build(tree: Path, kind: str, target: Path, epoch: int) -> list[Path]:
    command: list[str | Path] = [sys.executable, "-m", "build", kind, "--outdir", target, tree]
    environment = {**os.environ, EPOCH: str(epoch)}
    # With a fixed umask, which the modes of the files that setuptools makes come from.
    done = subprocess.run(command, env=environment, umask=0o022, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotBuilt(f"python -m build {kind} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return list(target.iterdir())


def _repack(packed: Path, target: Path, epoch: int) -> None:
    """Pack it again: sorted, root's, with one time and fixed modes."""
    plain = io.BytesIO()
    with tarfile.open(packed) as old, tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & stat.S_IXUSR else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    with target.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=epoch) as zipped:
        zipped.write(plain.getvalue())
