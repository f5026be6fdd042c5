"""The kinds of file systems below a directory, as the system lists them."""

from itertools import permutations
from pathlib import Path, PurePosixPath

import pytest

from pyregistry.storage.local.file_systems import file_systems, parse_mounts
from tests.storage.mounts import tmpfs

ROOT = PurePosixPath("/srv/registry data")
LINE = "{number} {above} 98:0 / {place} rw,noatime master:1 shared:2 - {kind} /dev/root rw,errors=continue"


def mounts(*lines: tuple[str, str]) -> str:
    """Lines of mountinfo, in the order in which they were mounted."""
    text, mounted = "", [("1", PurePosixPath("/"))]
    for number, (place, kind) in enumerate(lines, 36):
        above = next(each for each, point in reversed(mounted) if PurePosixPath(place).is_relative_to(point))
        mounted.append((str(number), PurePosixPath(place)))
        text += LINE.format(number=number, above=above, place=place.replace(" ", "\\040"), kind=kind) + "\n"
    return text


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], {}),
        ([("/", "ext4")], {"/": "ext4"}),
        ([("/", "overlay"), ("/srv", "xfs"), ("/var", "nfs4")], {"/srv": "xfs"}),
        ([("/", "overlay"), (str(ROOT), "nfs4")], {str(ROOT): "nfs4"}),
        ([("/", "overlay"), ("/srv/registry", "nfs4"), ("/srv/registry data2", "cifs")], {"/": "overlay"}),
        ([("/", "ext4"), (f"{ROOT}/docker", "fuse.sshfs")], {"/": "ext4", f"{ROOT}/docker": "fuse.sshfs"}),
        (
            [("/", "ext4"), (f"{ROOT}/a/b", "nfs"), (f"{ROOT}/a", "xfs")],
            {"/": "ext4", f"{ROOT}/a": "xfs"},
        ),
        ([("/", "ext4"), (f"{ROOT}/a", "nfs"), (str(ROOT), "xfs")], {str(ROOT): "xfs"}),
        ([("/", "rootfs"), ("/", "ext4")], {"/": "ext4"}),
        ([(str(ROOT), "nfs"), (str(ROOT), "ext4")], {str(ROOT): "ext4"}),
        ([("/", "ext4"), (str(ROOT), "nfs"), (f"{ROOT}/a", "xfs"), ("/srv", "tmpfs")], {"/srv": "tmpfs"}),
        ([("/", "ext4"), (f"{ROOT}/a", "nfs"), (f"{ROOT}/a", "xfs")], {"/": "ext4", f"{ROOT}/a": "xfs"}),
        ([(f"{ROOT}/a", "nfs"), (f"{ROOT}/b", "xfs")], {f"{ROOT}/a": "nfs", f"{ROOT}/b": "xfs"}),
    ],
    ids=[
        "nothing is known",
        "the whole system",
        "the nearest above",
        "the directory itself",
        "a name that begins the same",
        "a part",
        "a part that hides another",
        "all that is hidden",
        "one on the other",
        "one on the other, at the directory itself",
        "all that is hidden, from above",
        "one on the other, at a part",
        "a root of a process that is no mount point",
    ],
)
def test_the_kinds_are_those_that_can_be_seen(lines: list[tuple[str, str]], found: dict[str, str]) -> None:
    assert parse_mounts(mounts(*lines), ROOT) == found


def test_the_order_of_the_lines_does_not_count() -> None:
    lines = mounts(("/", "ext4"), (str(ROOT), "nfs"), (f"{ROOT}/a", "xfs"), (str(ROOT), "ext3"), (f"{ROOT}/b", "xfs"))
    found = {str(ROOT): "ext3", f"{ROOT}/b": "xfs"}
    for order in permutations(lines.splitlines(keepends=True)):
        assert parse_mounts("".join(order), ROOT) == found


@pytest.mark.parametrize("text", ["", "\n", "36 35 - ext4", "a b c d e f g", "\x00 - \x00", "1 2 3 4 / - "])
def test_a_line_that_is_not_understood_is_passed_over(text: str) -> None:
    assert set(parse_mounts(text, ROOT).values()) <= {""}


def test_a_real_mount_is_found(tmp_path: Path) -> None:
    part = tmp_path / "part of it"
    part.mkdir()
    before = file_systems(tmp_path)
    with tmpfs(part, "size=1m"):
        assert file_systems(tmp_path) == {**before, str(part): "tmpfs"}
    assert file_systems(tmp_path) == before
