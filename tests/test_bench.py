"""What the bench says of its figures."""

from pathlib import Path

import pytest

from bench.gc_report import BEGIN as GC_BEGIN
from bench.gc_report import END as GC_END
from bench.gc_report import write_gc_table
from bench.loads import LoadError, gets
from bench.report import BEGIN, END, write_table
from bench.results import Figures, Run, load, save
from bench.trees import make_tree, name_of
from pyregistry.fsck.checking import Scope, check
from pyregistry.oci.names import RepositoryName
from pyregistry.storage.filesystem import FilesystemDriver
from pyregistry.storage.registry import Registry
from pyregistry.storage.rules import Rules
from tests.processes import free_port, require


def figures(ours: list[float], theirs: list[float], *, rate: bool, target: float | None) -> Figures:
    return Figures("key", "a work", "s", rate, target, {"pyregistry": ours, "CNCF 3.1.1": theirs}, {})


@pytest.mark.parametrize(
    ("ours", "theirs", "rate", "target", "reached"),
    [
        ([6, 9, 12], [2, 3, 4], True, 3.0, True),
        ([5, 8, 12], [2, 3, 4], True, 3.0, False),
        ([1, 1, 1], [2, 2, 1], False, 0.67, True),
        ([2, 1, 2], [2, 2, 2], False, 0.67, False),
        ([1], [2], True, None, None),
        ([], [2], True, 1.0, None),
    ],
)
def test_a_target_is_reached_by_the_median_of_the_ratios_of_the_rounds(
    ours: list[float], theirs: list[float], rate: bool, target: float | None, reached: bool | None
) -> None:
    assert figures(ours, theirs, rate=rate, target=target).reached() is reached


def test_the_page_is_made_from_what_was_saved_and_keeps_what_stands_around_it(tmp_path: Path) -> None:
    run = Run("tmpfs", "abc+", "2026-01-01", "a machine", {"zot": "not found"})
    run.figures = [figures([1.5, 2, 4], [1, 1, 1], rate=False, target=1.0)]
    save(run, tmp_path / "tmpfs.json")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nbehind\n")
    for _ in range(2):
        write_table(page, [load(tmp_path / "tmpfs.json")])
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nbehind\n")
    assert "| a work | 2 s | 1 | 2.00 | 1.50 … 4.00 | ≤ 1 **not reached** |" in text
    assert "zot was not there: not found" in text
    assert "old" not in text


def test_a_collector_is_timed_also_where_there_is_none_to_compare_it_with(tmp_path: Path) -> None:
    run = Run("disk", "abc", "2026-01-01", "a machine", {})
    alone = Figures("dry", "dry run", "s", rate=False, target=0.5, values={"pyregistry": [1.0, 3.0, 2.0]}, errors={})
    compared = Figures(
        "real", "real run", "s", False, 0.5, {"pyregistry": [1.0, 3.0, 2.0], "CNCF 2.8.2": [2.0, 4.0, 8.0]}, {}
    )
    page = tmp_path / "page.md"
    page.write_text(f"before\n{GC_BEGIN}\nold\n{GC_END}\nbehind\n")
    run.figures = [alone, compared]
    write_gc_table(page, [run])
    text = page.read_text()
    assert "| dry run | 2 s |  |  |  |  | ≤ 0.5 |" in text
    assert "| real run | 2 s | 4 |  | 0.50 | 0.25 … 0.75 | ≤ 0.5 |" in text
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
    assert list(Registry(driver).catalog()) == [name_of(0), name_of(1), name_of(2), "tagged"]
    assert len(list(Registry(driver).repository(RepositoryName("tagged")).tags())) == 5
    assert list(check(driver, Scope(Rules()))) == []
