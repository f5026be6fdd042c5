"""File systems that lack calls: what works there, what it costs, and the warning at the start."""

import errno
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pyregistry.common.files import fsync_directory, sync_directory
from pyregistry.gc.types import Options
from pyregistry.oci.digest import Digest
from pyregistry.storage.local.abilities import CANNOT_SET_TIMES, CANNOT_SYNC, lacks
from pyregistry.storage.local.filesystem import FilesystemDriver
from tests import forked
from tests.builders import digest_of, image
from tests.gc.collecting import collect
from tests.processes import data_directory, forked_server, require
from tests.storage.faults import FailingSync
from tests.storage.limited import limited
from tests.storage.pushing import pull, push_blob, push_image, registry_on, repository
from tests.workers.http import ask

NO_SYNC = {"sync": errno.EINVAL}
LIMITED: dict[str, tuple[dict[str, int], Sequence[str]]] = {
    "no sync of directories (EINVAL)": (NO_SYNC, [CANNOT_SYNC]),
    "no sync of directories (EOPNOTSUPP)": ({"sync": errno.EOPNOTSUPP}, [CANNOT_SYNC]),
    "no times (EPERM)": ({"times": errno.EPERM}, [CANNOT_SET_TIMES]),
    "no times (ENOSYS)": ({"times": errno.ENOSYS}, [CANNOT_SET_TIMES]),
    "no times (EINVAL)": ({"times": errno.EINVAL}, [CANNOT_SET_TIMES]),
    "times are ignored": ({"times": 0}, [CANNOT_SET_TIMES]),
    "neither": ({"sync": errno.EINVAL, "times": errno.EPERM}, [CANNOT_SYNC, CANNOT_SET_TIMES]),
    "both": ({}, []),
}


@pytest.mark.parametrize("case", LIMITED)
def test_a_registry_works_and_collects_there(case: str, tmp_path: Path) -> None:
    refused, events = LIMITED[case]
    with limited(tmp_path, **refused) as root:
        driver = FilesystemDriver(root)
        driver.probe()
        found = list(lacks(driver))
        assert [lack.event for lack in found] == events
        assert all(lack.kind.startswith("fuse") and lack.directory.startswith(str(root)) for lack in found)
        kept, gone, pushed_again = image(b"kept"), image(b"gone"), image(b"again")
        registry = registry_on(driver)
        push_image(repository(registry), kept, "kept")
        push_image(repository(registry), pushed_again)
        push_image(repository(registry), gone)
        push_image(repository(registry), pushed_again, "again")  # relies on what is there
        registry.try_writing()
        report = collect(driver, Options(grace=0, delete_untagged=True))
        assert not report.skipped
        assert pull(repository(registry), kept)
        assert pull(repository(registry), pushed_again)
        assert not pull(repository(registry), gone)


def test_a_push_in_progress_is_kept_where_no_times_can_be_set(tmp_path: Path) -> None:
    with limited(tmp_path, times=errno.EPERM) as root:
        driver = FilesystemDriver(root)
        repo = repository(registry_on(driver))
        pushing = image(b"pushing")
        for blob in pushing.blobs:
            push_blob(repo, blob)
        collect(driver, Options(grace=3600))
        for blob in pushing.blobs:
            repo.blob_with_lease(Digest.of(blob))
        push_image(repo, pushing, "pushed")
        collect(driver, Options(grace=0))
        assert pull(repo, pushing)


@pytest.mark.parametrize("refused", [NO_SYNC, {"times": errno.EPERM}], ids=["sync", "times"])
def test_the_start_names_directory_kind_and_reason_once_and_pushes_work(
    refused: dict[str, int], tmp_path: Path
) -> None:
    with limited(tmp_path, **refused) as root:
        made = forked_server(tmp_path, storage={"filesystem": {"rootdirectory": str(root)}})
        with made as server:
            event = CANNOT_SYNC if refused == NO_SYNC else CANNOT_SET_TIMES
            [line] = [line for line in server.output().splitlines() if event in line]
            assert re.search(rf"\[warning *\] .*directory={root}\S* kind=fuse\S* reason=", line)
            assert "Traceback" not in server.output()
            for _ in range(2):
                path = f"/v2/app/blobs/uploads/?digest={digest_of(b'content')}"
                assert ask(server, "POST", path, b"content").status == 201
            assert ask(server, "GET", "/readyz").status == 200
            assert not server.faults()


def test_check_config_warns_of_syncs_in_the_same_words_and_writes_nothing(tmp_path: Path) -> None:
    with limited(tmp_path, sync=errno.EINVAL) as root:
        made = forked_server(tmp_path, storage={"filesystem": {"rootdirectory": str(root)}})
        command = [sys.executable, "-m", "pyregistry", "check-config", str(made.config)]
        done = forked.run_text(command, check=True, env=made.env)
        assert re.search(rf"\[warning *\] {re.escape(CANNOT_SYNC)} .*directory={root} kind=fuse", done.stderr)
        assert not list(root.iterdir())


@pytest.mark.parametrize("number", ["ENOLCK", "ENOSYS"])
def test_without_locks_nothing_is_written_and_the_start_says_so(number: str, tmp_path: Path) -> None:
    strace = require("strace", "strace")
    made = forked_server(tmp_path, pyregistry={"workers": 1})
    injected = ["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=flock", "-e", f"inject=flock:error={number}"]
    made.command = [strace, *injected, *made.command]
    with made as server:
        [line] = [line for line in server.output().splitlines() if "the data directory cannot be written" in line]
        assert f"error={number}" in line
        assert "(flock)" in line
        assert f"file={data_directory(tmp_path)}/" in line
        path = f"/v2/app/blobs/uploads/?digest={digest_of(b'content')}"
        assert ask(server, "POST", path, b"content").status == 503
        assert ask(server, "GET", "/v2/app/tags/list").status == 404
        assert ask(server, "GET", "/readyz").status == 503
        assert not [fault for fault in server.faults() if " 503 " not in fault]


def test_another_error_of_a_sync_is_raised_with_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for sync in (sync_directory, fsync_directory):
        FailingSync(monkeypatch, 1)
        with pytest.raises(OSError, match=rf"Input/output error.*{tmp_path}"):
            sync(str(tmp_path))
        monkeypatch.undo()
