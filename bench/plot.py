"""Plots the saved results."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.results import REFERENCE, Figures, Run


def write_plots(directory: Path, runs: Sequence[Run]) -> None:
    """Plot ratios to CNCF 3.1.1, a bar from the smallest to the largest with a dot at the median; needs matplotlib."""
    from matplotlib import pyplot  # noqa: PLC0415 - of the extra `bench`, needed only for plots

    pyplot.rcParams["svg.hashsalt"] = "bench"  # the same figures make the same file
    for run in runs:
        figures = [each for each in run.figures if each.ratios() and each.reference == REFERENCE]
        chart, axes = pyplot.subplots(figsize=(10, 0.34 * len(figures) + 1.2))
        for row, each in enumerate(reversed(figures)):
            ratios = _times_as_good(each, each.ratios())
            axes.plot([min(ratios), max(ratios)], [row, row], color="#4477aa", linewidth=5, alpha=0.4)
            axes.plot(median(ratios), row, "o", color="#4477aa")
            if each.target is not None and not each.target.absolute:
                axes.plot(_times_as_good(each, [each.target.number]), [row], "|", color="#cc3311", markersize=12)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_yticks(range(len(figures)), [each.title for each in reversed(figures)])
        axes.set_xlabel(f"times as good as {REFERENCE} on {run.medium} (median, smallest, largest; red: wanted)")
        for suffix, metadata in (("svg", {"Date": None}), ("png", {})):
            chart.savefig(directory / f"{run.medium}.{suffix}", bbox_inches="tight", dpi=110, metadata=metadata)
        pyplot.close(chart)


def _times_as_good(figures: Figures, ratios: Sequence[float]) -> list[float]:
    """Invert ratios of times, so that higher is always better for pyregistry."""
    return list(ratios) if figures.rate else [1 / ratio for ratio in ratios]
