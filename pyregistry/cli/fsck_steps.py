"""Suggests the next commands after `pyregistry fsck`, according to its findings."""

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyregistry.cli.data_directory import content_of
from pyregistry.common.system_errors import user_name
from pyregistry.fsck.causes import Causes
from pyregistry.fsck.findings import KINDS, Kind
from pyregistry.storage.seams import layout

_BYTES = (Kind.CORRUPT_BLOB, Kind.UNREADABLE_BLOB, Kind.DAMAGED_MANIFEST, Kind.EMPTY_BLOB)
_QUARANTINED = "quarantined"
_PUSH_AGAIN = (
    "push the images above again (a client that skips an image because it exists: pyregistry rm IMAGE -m first)"
)


@dataclass(frozen=True, slots=True)
class Run:
    """The `fsck` command that ran."""

    root: Path
    """The data directory."""
    config: Path | None = None
    options: Sequence[str] = ()
    """The options of the run, without `--repair`."""
    repairing: bool = False

    def command(self, *options: str) -> str:
        """Return the command with these options, quoted for a shell."""
        config = () if self.config is None else (str(self.config),)
        return shlex.join(("pyregistry", "fsck", *config, *options))


def next_steps(run: Run, causes: Causes, *, stopped: bool) -> list[str]:
    """Return the steps to take, in order, a line each; none without findings."""
    steps: list[str] = []
    if stopped:
        repair = ("--repair",) if run.repairing else ()
        steps.append(f"{run.command(*run.options, *repair)} (looks at what this run did not)")
    if causes.of_kind(Kind.NO_PERMISSION):
        steps.append(_with_rights(run))
    steps += _by_hand(run, causes)
    if not run.repairing and _can_repair(causes):
        steps.append(f"{run.command('--repair')} ({_effect(causes)})")
    if causes.images:
        steps.append(_PUSH_AGAIN)
    if any(_QUARANTINED in cause.repaired for cause in causes):
        steps.append(f"look at {_quarantine(run)}, then empty it with rm")
    if causes.number("damage"):
        steps.append(f"{run.command()} (must end with 0 damaged)")
    return steps


def _can_repair(causes: Causes) -> bool:
    return any(KINDS[kind].repair is not None for cause in causes for kind in cause.counts)


def _effect(causes: Causes) -> str:
    if causes.of_kind(*_BYTES):
        return "puts damaged bytes into quarantine, so that a push sends them again"
    return "repairs what it can" if causes.number("damage") else "tidies up"


def _by_hand(run: Run, causes: Causes) -> Iterator[str]:
    if causes.of_kind(Kind.NOT_USABLE):
        owner = content_of(run.root).stat()
        files = shlex.quote(str(content_of(run.root)))
        yield f"chown -R {owner.st_uid}:{owner.st_gid} {files} && chmod -R u+rwX {files} (as root)"
    if causes.of_kind(Kind.NO_FILE):
        yield "mount or restore what the symbolic links of no-file lead to"
    if causes.of_kind(Kind.UNREADABLE, Kind.UNREADABLE_BLOB):
        yield "look at the disk: dmesg, smartctl -a DEVICE"
    if causes.of_kind(Kind.BAD_NAME):
        yield "rename or remove the directories of bad-name"


def _with_rights(run: Run) -> str:
    """Return a step for files without permission. Root becomes the content's owner, so sudo gives no more rights."""
    try:
        owner = content_of(run.root).stat().st_uid
    except PermissionError:
        return f"sudo {run.command(*run.options)} (this user may not even look at {run.root})"
    if owner == os.geteuid():
        return f"give what cannot be read to user {user_name(owner)}, who owns the rest: chown, chmod u+rX"
    return f"sudo {run.command(*run.options)} (runs as user {user_name(owner)}, who owns the data directory)"


def _quarantine(run: Run) -> str:
    return shlex.quote(str(run.root / layout.quarantine(layout.PRIVATE)))
