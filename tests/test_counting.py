"""The files that processes count into, when one of them has ended."""

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from pyregistry.observe.metrics import Metrics
from pyregistry.observe.multiprocess_metrics import merge_dead_worker

_KEY = mmap_key("requests", "requests_total", ["handler"], ["base"], "Requests.")
_GONE, _ALIVE = 1_000_001, 1_000_002


def _count(directory: Path, name: str, value: float) -> None:
    file = MmapedDict(str(directory / name))  # type: ignore[no-untyped-call] # theirs has no types
    file.write_value(_KEY, value, 0.0)  # type: ignore[no-untyped-call] # theirs has no types
    file.close()  # type: ignore[no-untyped-call] # theirs has no types


def _counted(directory: Path) -> dict[str, float]:
    return {
        path.name: value
        for path in directory.glob("*.db")
        for _, value, _, _ in MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call] # theirs has no types
    }


def test_what_a_process_counted_is_added_to_what_others_before_it_did(tmp_path: Path) -> None:
    for pid in (_GONE, _GONE + 10):
        _count(tmp_path, f"counter_{pid}.db", 3)
        _count(tmp_path, f"histogram_{pid}.db", 5)
        _count(tmp_path, f"gauge_livesum_{pid}.db", 1)
    _count(tmp_path, f"counter_{_ALIVE}.db", 7)
    merge_dead_worker(_GONE, tmp_path)
    merge_dead_worker(_GONE + 10, tmp_path)
    assert _counted(tmp_path) == {"counter_ended.db": 6, "histogram_ended.db": 10, f"counter_{_ALIVE}.db": 7}


@pytest.mark.parametrize("damage", [b"", b"\x40\x9c\x00\x00" + b"\xff" * 65_532])
def test_a_file_that_was_cut_off_in_a_write_is_left_out_and_said(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / f"counter_{_GONE}.db").write_bytes(damage)
    _count(tmp_path, "counter_ended.db", 2)
    merge_dead_worker(_GONE, tmp_path)
    assert _counted(tmp_path) == {"counter_ended.db": 2}
    assert "the counts of a worker are lost" in caplog.text


def test_while_somebody_reads_nothing_is_merged_and_nobody_waits_long(tmp_path: Path) -> None:
    _count(tmp_path, f"counter_{_GONE}.db", 3)
    reader = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(reader, fcntl.LOCK_SH)
        merge_dead_worker(_GONE, tmp_path)
    finally:
        os.close(reader)
    assert _counted(tmp_path) == {f"counter_{_GONE}.db": 3}


def test_who_asks_waits_for_a_process_that_begins_to_count_at_that_moment(tmp_path: Path) -> None:
    _count(tmp_path, f"counter_{_GONE}.db", 3)
    begun = tmp_path / f"counter_{_ALIVE}.db"
    begun.touch()

    def go_on() -> None:
        begun.unlink()
        _count(tmp_path, begun.name, 4)

    other = threading.Timer(0.05, go_on)
    other.start()
    page, _ = Metrics(tmp_path).page("")
    other.join()
    assert b'requests_total{handler="base"} 7.0' in page


def test_a_service_that_counts_nothing_does_not_load_the_library() -> None:
    code = "import sys, pyregistry.service.server; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
