"""Results of bench.gc: saved, and as a table in docs/performance.md."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.report import commit_of, grid, judged, number, ratio_cells
from bench.results import OURS, REFERENCE, Figures, Run, load, save
from bench.servers import source_version

GC_RESULTS = Path(__file__).parent / "results/gc"
BASE = "CNCF 2.8.2"
BEGIN, END = "<!-- garbage collection, made by `make bench-report` -->", "<!-- end of garbage collection -->"


def print_row(figures: Figures) -> None:
    """Print a new result."""
    print(figures.title)
    for name, values in figures.values.items():
        ratios = [f"{ratio:.2f}" for ratio in figures.ratios(name)] if name != OURS else []
        print(f"  {name:12}{median(values):8.2f} {figures.unit}  {' '.join(ratios)}", flush=True)


def save_figures(medium: str, found: Sequence[Figures]) -> None:
    """Save these results; keep the saved ones of other works."""
    path = GC_RESULTS / f"{medium}.json"
    run = Run(medium, f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}", {})
    new = {figures.key for figures in found}
    if path.exists():
        before = load(path)
        run.keep(before, [each.key for each in before.figures if each.key not in new])
    for figures in found:
        figures.version, figures.date = source_version(), datetime.now(UTC).strftime("%Y-%m-%d")
    run.figures += found
    save(run, path)


def write_gc_table(page: Path, runs: Sequence[Run]) -> None:
    """Put the tables between the two marks of the page."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n\n".join(_table(run) for run in runs)
    page.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}")


def _table(run: Run) -> str:
    titles = ["", OURS, BASE, REFERENCE, "ratio to 2.8.2", "smallest and largest (rounds)", "wanted", "commit"]
    rows = [
        [
            figures.title,
            f"{number(figures, OURS)} {figures.unit}",
            number(figures, BASE),
            number(figures, REFERENCE),
            *ratio_cells(figures),
            judged(figures),
            commit_of(figures),
        ]
        for figures in run.figures
    ]
    return f"On {run.medium}, {run.machine}.\n\n{grid(titles, rows)}"
