"""The saved results as a table in docs/performance.md, and as a plot."""

from pathlib import Path
from statistics import median

from bench.results import OURS, REFERENCE, Figures, Run

BEGIN, END = "<!-- made by `make bench-report` -->", "<!-- end -->"


def print_row(figures: Figures) -> None:
    """What was just measured."""
    print(f"\n{figures.title} ({figures.unit})")
    for name, values in figures.values.items():
        ratios = figures.ratios(name)
        ratio = f"  ratio {median(ratios):7.2f}  ({min(ratios):.2f} to {max(ratios):.2f})" if name != OURS else ""
        print(f"  {name:12}{median(values):12.2f}{ratio}")
    for name, error in figures.errors.items():
        print(f"  {name:12}{error}")
    if figures.target is not None:
        mark = {True: "reached", False: "NOT reached", None: "no ratio"}[figures.reached()]
        print(f"  wanted: {'at least' if figures.rate else 'at most'} {figures.target:g}: {mark}", flush=True)


def write_table(page: Path, runs: list[Run]) -> None:
    """Put the tables between the two marks of the page."""
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n".join(_table(run) for run in runs)
    page.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{after}")


def _table(run: Run) -> str:
    lines = [
        f"On {run.medium}, commit {run.version}, {run.date}, {run.machine}.",
        "",
        "| work | pyregistry | CNCF 3.1.1 | ratio | smallest and largest | wanted | CNCF 2.8.2 | others |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for figures in run.figures:
        ratios = figures.ratios()
        wanted = "" if figures.target is None else f"{'≥' if figures.rate else '≤'} {figures.target:g}"
        if figures.reached() is False:
            wanted += " **not reached**"
        others = ", ".join(
            f"{name} {number(values)}"
            for name, values in figures.values.items()
            if name != OURS and not name.startswith("CNCF")
        )
        cells = [
            figures.title,
            f"{number(figures.values.get(OURS))} {figures.unit}",
            number(figures.values.get(REFERENCE)),
            f"{median(ratios):.2f}" if ratios else "",
            f"{min(ratios):.2f} … {max(ratios):.2f}" if ratios else "",
            wanted,
            number(figures.values.get("CNCF 2.8.2")),
            others,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for name, reason in run.missing.items():
        lines += ["", f"{name} was not there: {reason}"]
    return "\n".join([*lines, ""])


def number(values: list[float] | None) -> str:
    """Their median; nothing where there are none."""
    if not values:
        return "failed" if values == [] else ""
    middle = median(values)
    return f"{middle:,.0f}" if middle >= 100 else f"{middle:.3g}"


def write_plot(directory: Path, runs: list[Run]) -> None:
    """Ratios to CNCF 3.1.1, a bar from the smallest to the largest with a dot at the median; needs matplotlib."""
    from matplotlib import pyplot  # noqa: PLC0415 - the extra `bench`, which a run without a plot does not need

    for run in runs:
        figures = [each for each in run.figures if each.ratios()]
        chart, axes = pyplot.subplots(figsize=(10, 0.34 * len(figures) + 1.2))
        for row, each in enumerate(reversed(figures)):
            # A time is turned round, so that to the right is always better for pyregistry.
            ratios = each.ratios() if each.rate else [1 / ratio for ratio in each.ratios()]
            axes.plot([min(ratios), max(ratios)], [row, row], color="#4477aa", linewidth=5, alpha=0.4)
            axes.plot(median(ratios), row, "o", color="#4477aa")
            if each.target is not None:
                axes.plot(each.target if each.rate else 1 / each.target, row, "|", color="#cc3311", markersize=12)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_yticks(range(len(figures)), [each.title for each in reversed(figures)])
        axes.set_xlabel(f"times as good as {REFERENCE} on {run.medium} (median, smallest, largest; red: wanted)")
        for suffix in ("svg", "png"):
            chart.savefig(directory / f"{run.medium}.{suffix}", bbox_inches="tight", dpi=110)
        pyplot.close(chart)
