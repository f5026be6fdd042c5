"""The report of the bench on its figures."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gc_report import BEGIN as GC_BEGIN
from bench.gc_report import END as GC_END
from bench.gc_report import write_gc_table
from bench.loads import LoadError, gets
from bench.report import BEGIN, END, derived, write_tables
from bench.results import Figures, Run, Target, load, save
from bench.trees import make_tree, name_of
from bench.usage import Spent, Window, memory_of
from pyregistry.fsck.scope import CheckScope
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.local.filesystem import FilesystemDriver
from pyregistry.storage.seams.rules import Rules
from tests.fsck.trees import check
from tests.processes import Server, free_port, require
from tests.storage.pushing import registry_on


def figures(ours: list[float], theirs: list[float], target: Target | None, key: str = "key") -> Figures:
    values = {"pyregistry": ours, "CNCF 3.1.1": theirs}
    return Figures(key, "a work", "s", False, target, values, version="abc", date="2026-01-01")


@pytest.mark.parametrize(
    ("ours", "theirs", "target", "reached"),
    [
        ([6, 9, 12], [2, 3, 4], Target("≥", 3), True),
        ([5, 8, 12], [2, 3, 4], Target("≥", 3), False),
        ([1, 1, 1], [2, 2, 1], Target("≤", 0.67), True),
        ([2, 1, 2], [2, 2, 2], Target("≤", 0.67), False),
        ([98], [100], Target("±", 0.03), True),
        ([104], [100], Target("±", 0.03), False),
        ([0.9, 0.9, 3], [0.1, 0.1, 0.1], Target("≤", 1, absolute=True), True),
        ([1.1, 1.1, 0.1], [9, 9, 9], Target("≤", 1, absolute=True), False),
        ([1], [2], None, None),
        ([], [2], Target("≤", 1), None),
    ],
)
def test_a_target_is_reached_by_the_median_of_the_rounds(
    ours: list[float], theirs: list[float], target: Target | None, reached: bool | None
) -> None:
    assert figures(ours, theirs, target).reached() is reached


def made_page(directory: Path, *all_figures: Figures) -> str:
    run = Run("tmpfs", "a machine", {"zot": "not found"}, {"pyregistry": "a: 1\n"}, figures=list(all_figures))
    save(run, directory / "tmpfs.json")
    page = directory / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nbehind\n")
    for _ in range(2):
        write_tables(page, [load(directory / "tmpfs.json")])
    return page.read_text()


def test_the_page_is_made_from_what_was_saved_and_keeps_what_stands_around_it(tmp_path: Path) -> None:
    text = made_page(tmp_path, figures([1.5, 2, 4], [1, 1, 1], Target("≤", 1)))
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nbehind\n")
    assert "commit abc, 2026-01-01, a machine" in text
    assert "| a work | 2 s | 1 | 2.00 | 1.50 … 4.00 (3) | ≤ 1 **not reached** |" in text
    assert "zot was not there: not found" in text
    assert "old" not in text


def test_each_line_names_its_commit_where_they_are_not_all_of_one(tmp_path: Path) -> None:
    later = figures([1], [1], None, "later")
    later.version = "def"
    lines = made_page(tmp_path, figures([1], [1], None), later).splitlines()
    assert [line.rpartition("| ")[2] for line in lines if line.startswith("| a work")] == [
        "abc, 2026-01-01 |",
        "def, 2026-01-01 |",
    ]


def test_a_run_of_some_works_keeps_the_others_with_what_they_were_measured_on(tmp_path: Path) -> None:
    before = Run("tmpfs", "an old machine", {}, figures=[figures([1], [1], None), figures([1], [1], None, "gone")])
    run = Run("tmpfs", "a machine", {})
    run.keep(before, ["key"])
    lines = made_page(tmp_path, *run.figures, figures([1], [1], None, "new")).splitlines()
    assert [line.rpartition("| ")[2] for line in lines if line.startswith("| a work")] == [
        "abc, 2026-01-01, an old machine |",
        "abc, 2026-01-01 |",
    ]


def test_a_registry_that_met_an_error_is_said_to_have_failed(tmp_path: Path) -> None:
    broken = figures([1], [], None)
    broken.values.pop("CNCF 3.1.1")
    broken.errors["CNCF 3.1.1"] = "500"
    text = made_page(tmp_path, broken)
    assert "| a work | 1 s | failed |" in text
    assert "CNCF 3.1.1 has no figure in “a work”: 500" in text


def test_what_grows_with_the_number_of_repositories_is_divided_within_a_round(tmp_path: Path) -> None:
    small, large = figures([1, 2, 4], [1, 1, 1], None, "size-x-10"), figures([2, 2, 4], [3, 3, 3], None, "size-x-1000")
    small.title, large.title = "a list, 10 repositories", "a list, 1,000 repositories"
    text = made_page(tmp_path, small, large)
    assert "| a list (s) | pyregistry | 2 | 2 | 1.00 | abc, 2026-01-01 |" in text
    assert "| a list (s) | CNCF 3.1.1 | 1 | 3 | 3.00 | abc, 2026-01-01 |" in text


def test_the_growth_of_memory_is_that_within_a_round() -> None:
    big, small = figures([110, 210, 111], [50], None, "memory"), figures([100, 200, 100], [30], None, "memory-small")
    [_, _, growth] = derived([big, small])
    assert growth.values == {"pyregistry": [10, 10, 11], "CNCF 3.1.1": [20]}
    assert growth.reached() is True


def test_the_processors_that_children_took_are_the_load_and_not_a_stranger(tmp_path: Path) -> None:
    server = Server([sys.executable, "-c", ""], tmp_path, free_port(), tmp_path / "config.yml")
    with Window(server) as window:
        subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 1: pass"], check=True)
    assert window.spent is not None
    assert window.spent.load >= 1
    assert window.spent.load_share() == 1
    assert window.spent.load_share(0) == 0


def test_processors_that_none_of_ours_took_are_the_strangers() -> None:
    spent = Spent(wall=10, all=20, load=2, server=6, bench=2)
    assert spent.strangers * (os.cpu_count() or 1) == 1
    assert spent.load_share() == 0.25


def test_memory_that_a_process_shares_with_its_child_counts_once() -> None:
    held = "import os, sys, time; block = b'x' * (64 << 20); os.fork(); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", held], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            assert [process.stdout.readline() for _ in range(2)] == [b"\n", b"\n"]
            assert 64 << 20 <= memory_of(process.pid) < 2 * 64 << 20
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_collector_is_timed_also_where_there_is_none_to_compare_it_with(tmp_path: Path) -> None:
    half = Target("≤", 0.5)
    alone = Figures("dry", "dry run", "s", False, half, {"pyregistry": [1.0, 3.0, 2.0]}, reference="CNCF 2.8.2")
    values = {"pyregistry": [1.0, 3.0, 2.0], "CNCF 2.8.2": [2.0, 4.0, 8.0]}
    compared = Figures("real", "real run", "s", False, half, values, version="abc", reference="CNCF 2.8.2")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{GC_BEGIN}\nold\n{GC_END}\nbehind\n")
    run = Run("disk", "a machine", {}, figures=[alone, compared])
    write_gc_table(page, [run])
    text = page.read_text()
    assert "| dry run | 2 s |  |  |  |  | ≤ 0.5 |  |" in text
    assert "| real run | 2 s | 4 |  | 0.50 | 0.25 … 0.75 (3) | ≤ 0.5 | abc |" in text
    assert text.startswith(f"before\n{GC_BEGIN}\n")
    assert text.endswith(f"{GC_END}\nbehind\n")
    compared.values["pyregistry"] = [2.0, 3.0, 2.0]
    write_gc_table(page, [run])
    assert "| ≤ 0.5 **not reached** |" in page.read_text()


def test_a_load_that_nobody_answers_is_no_rate() -> None:
    require("wrk", "wrk")
    with pytest.raises(LoadError):
        gets(f"http://127.0.0.1:{free_port()}/", 1, threads=1, seconds=1)


def test_a_generated_tree_is_a_sound_one(tmp_path: Path) -> None:
    make_tree(tmp_path, repositories=3, tags=5)
    driver = FilesystemDriver(tmp_path)
    assert list(registry_on(driver).catalog()) == [name_of(0), name_of(1), name_of(2), "tagged"]
    assert len(list(registry_on(driver).repository(RepositoryName("tagged")).tags())) == 5
    assert list(check(driver, CheckScope(Rules()))) == []


def test_a_generated_tree_without_tags_has_repositories_only(tmp_path: Path) -> None:
    make_tree(tmp_path, repositories=2, tags=0)
    assert list(registry_on(FilesystemDriver(tmp_path)).catalog()) == [name_of(0), name_of(1)]
