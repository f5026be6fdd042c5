"""Leftovers of a killed or older CNCF registry in its tree, in addition to what it serves; none of it may do harm."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

UPLOAD = "0b3b0a1e-6a52-4c9e-9d3c-1b0f0d6f5a11"
NOBODY = "ab" + "0" * 62
REPOSITORY = "left/over"
TAG = "torn"
"""Of REPOSITORY, which has another tag that is whole."""

STARTED = "2020-01-02T03:04:05Z"
GO_STATE = b"sha\x03" + bytes(104)
"""Of the form that Go's crypto/sha256 gives its state."""


@dataclass(frozen=True)
class Place:
    """The data directory."""

    root: Path

    @property
    def tree(self) -> Path:
        return self.root / "docker/registry/v2"

    @property
    def repository(self) -> Path:
        return self.tree / "repositories" / REPOSITORY

    @property
    def upload(self) -> Path:
        return self.repository / "_uploads" / UPLOAD

    @property
    def tag(self) -> Path:
        return self.repository / "_manifests/tags" / TAG


Leftover = Callable[[Place], Path]
"""Makes it; what is to be removed afterwards."""


def file(find: Callable[[Place], Path], content: bytes = b"") -> Leftover:
    """A file where nothing was."""

    def make(place: Place) -> Path:
        path = find(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return make


def directory(find: Callable[[Place], Path]) -> Leftover:
    """An empty directory."""

    def make(place: Place) -> Path:
        path = find(place)
        path.mkdir(parents=True, exist_ok=True)
        return path

    return make


def with_a_copy(pattern: str) -> Leftover:
    """`<path>.<uuid>.tmp` next to every file that the pattern finds: version 3.1 writes there first."""

    def make(place: Place) -> Path:
        for path in sorted(place.tree.glob(pattern)):
            path.with_name(f"{path.name}.{UPLOAD}.tmp").write_bytes(path.read_bytes()[:10])
        return place.tree

    return make


LEFTOVERS: dict[str, Leftover] = {
    "the state of a cache": file(lambda at: at.root / "scheduler-state.json", b"{}"),
    "a torn state of a cache": file(lambda at: at.root / f"scheduler-state.json.{UPLOAD}.tmp", b"{"),
    "what a file system of its own has": directory(lambda at: at.root / "lost+found"),
    "torn links of tags": with_a_copy("repositories/**/current/link"),
    "torn links of tags that were": with_a_copy("repositories/**/index/sha256/*/link"),
    "torn links of revisions": with_a_copy("repositories/**/revisions/sha256/*/link"),
    "torn links of layers": with_a_copy("repositories/**/_layers/sha256/*/link"),
    "torn blobs": with_a_copy("blobs/sha256/*/*/data"),
    "an upload that has nothing": directory(lambda at: at.upload),
    "an upload that has a torn time": file(lambda at: at.upload / f"startedat.{UPLOAD}.tmp", b"2020"),
    "an upload that has a time": file(lambda at: at.upload / "startedat", STARTED.encode()),
    "an upload that has an empty time": file(lambda at: at.upload / "startedat"),
    "an upload that has bytes": file(lambda at: at.upload / "data", bytes(100)),
    "an upload that has no bytes": file(lambda at: at.upload / "data"),
    "an upload that has a hash": file(lambda at: at.upload / "hashstates/sha256/100", GO_STATE),
    "an upload that has a torn hash": file(lambda at: at.upload / f"hashstates/sha256/0.{UPLOAD}.tmp"),
    "no uploads": directory(lambda at: at.repository / "_uploads"),
    "a tag that has nothing": directory(lambda at: at.tag),
    "a tag that names nothing now": directory(lambda at: at.tag / "current"),
    "a tag whose link is torn": file(lambda at: at.tag / f"current/link.{UPLOAD}.tmp", b"sha256:12"),
    "a tag whose link is empty": file(lambda at: at.tag / "current/link"),
    "a tag that has only a past": file(lambda at: at.tag / f"index/sha256/{NOBODY}/link", b"sha256:" + NOBODY.encode()),
    "a tag whose manifest is gone": file(lambda at: at.tag / "current/link", b"sha256:" + NOBODY.encode()),
    "a revision that was deleted": directory(lambda at: at.repository / "_manifests/revisions/sha256" / NOBODY),
    "a revision whose link is empty": file(lambda at: at.repository / "_manifests/revisions/sha256" / NOBODY / "link"),
    "a revision whose blob is gone": file(
        lambda at: at.repository / "_manifests/revisions/sha256" / NOBODY / "link", b"sha256:" + NOBODY.encode()
    ),
    "a layer that was deleted": directory(lambda at: at.repository / "_layers/sha256" / NOBODY),
    "a layer whose link is empty": file(lambda at: at.repository / "_layers/sha256" / NOBODY / "link"),
    "a layer whose blob is gone": file(
        lambda at: at.repository / "_layers/sha256" / NOBODY / "link", b"sha256:" + NOBODY.encode()
    ),
    "a blob that was collected": directory(lambda at: at.tree / "blobs/sha256/ab" / NOBODY),
    "a repository that has nothing": directory(lambda at: at.tree / "repositories/empty"),
    "a repository that has uploads": directory(lambda at: at.tree / "repositories/empty/_uploads" / UPLOAD),
    "a repository that has layers": directory(lambda at: at.tree / "repositories/empty/_layers/sha256"),
    "a repository that has revisions": directory(lambda at: at.tree / "repositories/empty/_manifests/revisions"),
    "a repository that has no tags": directory(lambda at: at.tree / "repositories/empty/_manifests/tags"),
    "a repository in one": directory(lambda at: at.repository / "in/_layers"),
}


def remove(place: Place, made: list[Path]) -> None:
    """Take all of it away again."""
    for path in place.tree.rglob("*.tmp"):
        path.unlink()
    for path in made:
        if path.is_dir() and path != place.tree:
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
    for path in (place.upload, place.tag, place.tree / "repositories/empty", place.repository / "in"):
        shutil.rmtree(path, ignore_errors=True)
