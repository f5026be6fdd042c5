"""A write of what must be absent, on a disk that fails and on a file system without hard links."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from pyregistry.storage.local.driver import NotDurable
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams import layout
from pyregistry.storage.seams.objects import AlreadyThere, PathNotFound
from tests.storage.faults import SlowSync, refuse
from tests.storage.paths import at


def temporaries(filesystem: FilesystemDriver) -> list[str]:
    return list(filesystem.children(layout.TMP))


def test_a_name_that_cannot_be_synced_is_taken_back(
    root: Path, filesystem: FilesystemDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    filesystem.write(at("d", "other"), b"")
    with monkeypatch.context() as failing:
        SlowSync(failing, root / at("d"), lambda: None)
        with pytest.raises(NotDurable):
            filesystem.write(at("d", "a"), b"lost", if_absent=True)
    with pytest.raises(PathNotFound):
        filesystem.stat(at("d", "a"))
    assert temporaries(filesystem) == []
    filesystem.write(at("d", "a"), b"kept", if_absent=True)
    assert filesystem.read(at("d", "a")) == b"kept"


def test_what_was_refused_leaves_no_temporary_file(filesystem: FilesystemDriver) -> None:
    filesystem.write(at("a"), b"first", if_absent=True)
    with pytest.raises(AlreadyThere):
        filesystem.write(at("a"), b"second", if_absent=True)
    assert temporaries(filesystem) == []
    assert (filesystem.root / at("a")).stat().st_nlink == 1


def test_a_symbolic_link_that_leads_nowhere_is_there_already(root: Path, filesystem: FilesystemDriver) -> None:
    filesystem.write(at("d", "other"), b"")
    (root / at("d", "a")).symlink_to("nowhere")
    with pytest.raises(AlreadyThere):
        filesystem.write(at("d", "a"), b"x", if_absent=True)


@pytest.mark.parametrize("error", [errno.EPERM, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def test_without_hard_links_one_of_several_writers_succeeds(
    filesystem: FilesystemDriver, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    refuse(monkeypatch, "link", lambda path: True, error)

    def write(number: int) -> int:
        with suppress(AlreadyThere):
            filesystem.write(at("a"), bytes([number]), if_absent=True)
            return 1
        return 0

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(16))) == 1
    assert filesystem.stat(at("a")).size == 1
    assert temporaries(filesystem) == []


def test_another_error_of_a_link_is_raised(filesystem: FilesystemDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "link", lambda path: True, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        filesystem.write(at("a"), b"x", if_absent=True)
    assert temporaries(filesystem) == []
