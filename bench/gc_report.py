"""What bench.gc found: saved, and as a table in docs/performance.md."""

import platform
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from bench.report import number
from bench.results import OURS, REFERENCE, Figures, Run, load, save
from bench.servers import source_version

GC_RESULTS = Path(__file__).parent / "results/gc"
BASE = "CNCF 2.8.2"
BEGIN, END = "<!-- garbage collection, made by `make bench-report` -->", "<!-- end of garbage collection -->"


def print_row(figures: Figures) -> None:
    """What was just measured."""
    print(figures.title)
    for name, values in figures.values.items():
        ratios = [f"{ratio:.2f}" for ratio in figures.ratios(name)] if name != OURS else []
        print(f"  {name:12}{median(values):8.2f} {figures.unit}  {' '.join(ratios)}", flush=True)


def remember(medium: str, found: list[Figures]) -> None:
    """Save these, and keep what was saved of others."""
    path = GC_RESULTS / f"{medium}.json"
    run = Run(
        medium=medium,
        version=source_version(),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine=f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}",
        missing={},
        figures=found,
    )
    if path.exists():
        new = {figures.key for figures in found}
        run.figures = [figures for figures in load(path).figures if figures.key not in new] + found
    save(run, path)


def write_gc_table(page: Path, runs: list[Run]) -> None:
    """Put the tables between the two marks of the page."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n".join(_table(run) for run in runs)
    page.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{after}")


def _table(run: Run) -> str:
    lines = [
        f"On {run.medium}, commit {run.version}, {run.date}, {run.machine}.",
        "",
        f"| | {OURS} | {BASE} | {REFERENCE} | ratio to 2.8.2 | smallest and largest | wanted |",
        "|---|---|---|---|---|---|---|",
    ]
    for figures in run.figures:
        ratios = figures.ratios(BASE)
        wanted = "" if figures.target is None else f"≤ {figures.target:g}"
        if figures.target is not None and ratios and median(ratios) > figures.target:
            wanted += " **not reached**"
        cells = [
            figures.title,
            f"{number(figures.values[OURS])} {figures.unit}",
            number(figures.values.get(BASE)),
            number(figures.values.get(REFERENCE)),
            f"{median(ratios):.2f}" if ratios else "",
            f"{min(ratios):.2f} … {max(ratios):.2f}" if ratios else "",
            wanted,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])
